/// Comma-separated values (RFC 4180): fields may be quoted, quoted ones may hold commas, line ends and doubled quotes.
enum CSV {
  struct Record: Equatable {
    /// Where it begins, from 1.
    var line: Int
    var fields: [String]
    /// Nothing stood on the line.
    var isBlank: Bool { fields == [""] }
  }

  struct Failure: Error, Equatable {
    let line: Int
    let problem: String
  }

  static func parse(_ bytes: [UInt8]) throws(Failure) -> [Record] {
    let (quote, comma, lineFeed, carriageReturn) = (UInt8(0x22), UInt8(0x2C), UInt8(0x0A), UInt8(0x0D))
    var records: [Record] = []
    var line = 1
    var index = 0
    while index < bytes.count {
      var record = Record(line: line, fields: [])
      var isInRecord = true
      while isInRecord {
        var field: [UInt8] = []
        if index < bytes.count, bytes[index] == quote {
          let first = line
          index += 1
          while true {
            guard index < bytes.count else { throw Failure(line: first, problem: "a quoted field is never closed") }
            let byte = bytes[index]
            index += 1
            if byte == quote {
              guard index < bytes.count, bytes[index] == quote else { break }
              index += 1
            } else if byte == lineFeed {
              line += 1
            }
            field.append(byte)
          }
          if index < bytes.count, ![comma, lineFeed, carriageReturn].contains(bytes[index]) {
            throw Failure(line: line, problem: "expected a comma or the line's end behind a closing quote")
          }
        } else {
          while index < bytes.count, ![comma, lineFeed, carriageReturn].contains(bytes[index]) {
            guard bytes[index] != quote else {
              throw Failure(line: line, problem: "a quote within a field: quote the whole field and double the quote")
            }
            field.append(bytes[index])
            index += 1
          }
        }
        record.fields.append(String(decoding: field, as: UTF8.self))
        isInRecord = index < bytes.count && bytes[index] == comma
        if isInRecord { index += 1 }
      }
      if index < bytes.count, bytes[index] == carriageReturn { index += 1 }
      if index < bytes.count, bytes[index] == lineFeed { index += 1 }
      line += 1
      records.append(record)
    }
    return records
  }
}
