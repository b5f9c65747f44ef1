extension JSONParser {
  mutating func parseNumber() throws(JSONError) -> JSON {
    let start = offset
    let negative = take(UInt8(ascii: "-"))
    var digits: UInt64 = 0  // all digits, without the point, while they fit
    var exact = true
    var exponent = 0  // of ten, for `digits`
    var whole = true

    guard let first = peek(), isDigit(first) else { throw expected("a digit after '-'") }
    if first == UInt8(ascii: "0") {
      offset += 1
      if let next = peek(), isDigit(next) { throw expected("no digit after a leading zero") }
    } else {
      takeDigits(&digits, &exact)
    }
    if take(UInt8(ascii: ".")) {
      whole = false
      guard let next = peek(), isDigit(next) else { throw expected("a digit after '.'") }
      let point = offset
      takeDigits(&digits, &exact)
      exponent -= offset - point
    }
    if let next = peek(), next | 0x20 == UInt8(ascii: "e") {
      whole = false
      offset += 1
      let negativeExponent = peek() == UInt8(ascii: "-")
      if negativeExponent || peek() == UInt8(ascii: "+") { offset += 1 }
      guard let next = peek(), isDigit(next) else { throw expected("a digit in the exponent") }
      var value: UInt64 = 0
      var fits = true
      takeDigits(&value, &fits)
      if fits, value < 1_000_000 {
        exponent += negativeExponent ? -Int(value) : Int(value)
      } else {
        exact = false
      }
    }

    if whole, exact, !(negative && digits == 0) {
      if !negative, digits <= UInt64(Int64.max) { return .integer(Int64(digits)) }
      if negative, digits <= UInt64(Int64.max) + 1 { return .integer(Int64(truncatingIfNeeded: 0 &- digits)) }
    }
    if exact, digits < 1 << 53, abs(exponent) < powersOfTen.count {
      // Both factors are exact, so that one rounding gives the nearest Double.
      let scale = powersOfTen[abs(exponent)]
      let value = exponent < 0 ? Double(digits) / scale : Double(digits) * scale
      return .number(negative ? -value : value)
    }
    let text = String(decoding: bytes[start..<offset], as: UTF8.self)
    guard let value = Double(text), value.isFinite else {
      throw error(.numberOutOfRange(excerpt(start, min(offset - start, 40))), at: start)
    }
    return .number(value)
  }

  @inline(__always)
  private mutating func takeDigits(_ value: inout UInt64, _ exact: inout Bool) {
    while offset < bytes.count, isDigit(bytes[offset]) {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(bytes[offset] & 15))
      if overflow || carry { exact = false }
      value = sum
      offset += 1
    }
  }
}

private let powersOfTen: [Double] = [
  1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
  1e21, 1e22,
]

@inline(__always)
private func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }
