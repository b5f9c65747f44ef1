extension String {
  /// The same without characters that a terminal obeys: each but line feeds and tabs is shown as its symbol. What a model
  /// writes may have any.
  package var withVisibleControls: String {
    var visible = String.UnicodeScalarView()
    for scalar in unicodeScalars {
      switch scalar.value {
      case 0x09, 0x0A: visible.append(scalar)
      case 0..<0x20: visible.append(Unicode.Scalar(0x2400 + scalar.value) ?? "\u{FFFD}")
      case 0x7F: visible.append("\u{2421}")
      case 0x80..<0xA0: visible.append("\u{FFFD}")
      default: visible.append(scalar)
      }
    }
    return String(visible)
  }
}
