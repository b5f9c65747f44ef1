package import Compute

extension Float {
  /// The nearest value of a dtype, of two the one with an even last bit; of a number that is not too large.
  package func rounded(to dtype: DType) -> Float {
    switch dtype {
    case .float32, .int32: self
    case .bfloat16: Float(bitPattern: (bitPattern + 0x7FFF + bitPattern >> 16 & 1) & 0xFFFF_0000)
    case .float16: Float(Float16(self))
    }
  }

  /// A half's value, from the definition of its bits: sign, exponent, fraction.
  package init(bits: UInt16, of dtype: DType) {
    let fractionBits = dtype == .bfloat16 ? 7 : 10
    let (exponents, bias) = dtype == .bfloat16 ? (256, 127) : (32, 15)
    let exponent = Int(bits >> fractionBits) & (exponents - 1)
    let fraction = Double(bits & (1 << fractionBits - 1)) / Double(1 << fractionBits)
    let magnitude: Double =
      if exponent == exponents - 1 {
        fraction == 0 ? .infinity : .nan
      } else if exponent == 0 {
        fraction * Double(sign: .plus, exponent: 1 - bias, significand: 1)
      } else {
        (1 + fraction) * Double(sign: .plus, exponent: exponent - bias, significand: 1)
      }
    self = Float(bits >> 15 == 1 ? -magnitude : magnitude)
  }

  /// The bits of the nearest half, by looking through all of them in order: slow, and surely right.
  package func nearest(of dtype: DType) -> UInt16 {
    let sign: UInt16 = self.sign == .minus ? 0x8000 : 0
    let infinity: UInt16 = dtype == .bfloat16 ? 0x7F80 : 0x7C00
    guard !isNaN else { return sign | infinity | 1 }
    // The largest half that isn't above |self|.
    var (low, high) = (UInt16(0), infinity)
    while low + 1 < high {
      let middle = low + (high - low) / 2
      if Double(Float(bits: middle, of: dtype)) <= Double(magnitude) { low = middle } else { high = middle }
    }
    // Infinity stands where the next number would, were there more exponents.
    let below = Double(Float(bits: low, of: dtype))
    let step = below - Double(Float(bits: low - (high == infinity ? 1 : 0), of: dtype))
    let above = high == infinity ? below + step : Double(Float(bits: high, of: dtype))
    let (down, up) = (Double(magnitude) - below, above - Double(magnitude))
    return sign | (down < up || down == up && low.isMultiple(of: 2) ? low : high)
  }
}
