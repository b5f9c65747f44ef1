/// International bank account numbers: a country's length, and the remainder 1 on division by 97 (ISO 13616-1).
enum IBAN {
  static func find(in text: UnsafeRawBufferPointer, at place: Int) -> PersonalData.Match? {
    guard place + 15 <= text.count, isUpper(text[place]), isUpper(text[place + 1]),
      PersonalData.isDigit(text[place + 2]),
      PersonalData.isDigit(text[place + 3]),
      let length = lengths[String(decoding: text[place..<place + 2], as: UTF8.self)]
    else { return nil }
    var characters: [UInt8] = []
    var index = place
    while index < text.count, characters.count < length {
      let byte = text[index]
      if PersonalData.isDigit(byte) || isUpper(byte) {
        characters.append(byte)
      } else if !(byte == 0x20 || byte == UInt8(ascii: "-")) || characters.count % 4 != 0 {
        return nil
      }
      index += 1
    }
    guard characters.count == length, index == text.count || !PersonalData.isWordByte(text[index]) else { return nil }
    // The first four go to the end, letters become the numbers from 10 on.
    var remainder = 0
    for byte in characters[4...] + characters[..<4] {
      let value = PersonalData.isDigit(byte) ? Int(byte) - 0x30 : Int(byte) - 0x41 + 10
      remainder = (remainder * (value > 9 ? 100 : 10) + value) % 97
    }
    return remainder == 1 ? PersonalData.Match(kind: .iban, range: place..<index) : nil
  }

  private static func isUpper(_ byte: UInt8) -> Bool { byte &- 0x41 < 26 }

  /// Of the registry of IBAN formats.
  private static let lengths: [String: Int] = [
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21,
    "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FK": 18, "FO": 18,
    "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23,
    "IQ": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25,
    "MC": 27, "MD": 24,
    "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24,
    "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "SO": 23,
    "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
  ]
}
