/// The characters that HTML writes by name or number.
enum HTMLEntities {
  /// What an entity stands for that begins behind the & at `place`, and where the text goes on; nil for none that is known.
  static func decode(_ bytes: UnsafeBufferPointer<UInt8>, at place: Int) -> (text: Unicode.Scalar, end: Int)? {
    guard place < bytes.count else { return nil }
    if bytes[place] == UInt8(ascii: "#") { return number(bytes, at: place + 1) }
    var end = place
    while end < bytes.count, end - place < 10, isAlphanumeric(bytes[end]) { end += 1 }
    guard let value = names[String(decoding: bytes[place..<end], as: UTF8.self)] else { return nil }
    return (value, end < bytes.count && bytes[end] == UInt8(ascii: ";") ? end + 1 : end)
  }

  private static func number(_ bytes: UnsafeBufferPointer<UInt8>, at start: Int) -> (text: Unicode.Scalar, end: Int)? {
    var place = start
    let isHexadecimal = place < bytes.count && bytes[place] | 0x20 == UInt8(ascii: "x")
    if isHexadecimal { place += 1 }
    let digits = place
    var value: UInt32 = 0
    while place < bytes.count, let digit = Character(Unicode.Scalar(bytes[place])).hexDigitValue,
      isHexadecimal || digit < 10
    {
      value = min(value, 0x110000) * (isHexadecimal ? 16 : 10) + UInt32(digit)
      place += 1
    }
    guard place > digits else { return nil }
    if place < bytes.count, bytes[place] == UInt8(ascii: ";") { place += 1 }
    // Pages mean Windows-1252 by the numbers of control characters.
    if (0x80...0x9F).contains(value) { value = Windows1252.scalars[Int(value) - 0x80] }
    guard value != 0, let scalar = Unicode.Scalar(value) else { return ("\u{FFFD}", place) }
    return (scalar, place)
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20)
  }

  /// HTML 4's, and ' which came later.
  private static let names: [String: Unicode.Scalar] = {
    var table: [String: Unicode.Scalar] = [
      "amp": "&", "lt": "<", "gt": ">", "quot": "\"", "apos": "'", "AMP": "&", "LT": "<", "GT": ">", "QUOT": "\"",
    ]
    // From U+00A0 on.
    let latin = """
      nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro para \
      middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute \
      Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute \
      THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde \
      ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml
      """
    for (index, name) in latin.split(separator: " ").enumerated() {
      table[String(name)] = Unicode.Scalar(0xA0 + UInt32(index))
    }
    let greek = """
      Alpha Beta Gamma Delta Epsilon Zeta Eta Theta Iota Kappa Lambda Mu Nu Xi Omicron Pi Rho - Sigma Tau Upsilon Phi Chi Psi Omega
      """
    for (index, name) in greek.split(separator: " ").enumerated() where name != "-" {
      table[String(name)] = Unicode.Scalar(0x391 + UInt32(index))
      table[name.lowercased()] = Unicode.Scalar(0x3B1 + UInt32(index))
    }
    let others = """
      OElig 152 oelig 153 Scaron 160 scaron 161 Yuml 178 fnof 192 circ 2C6 tilde 2DC sigmaf 3C2 thetasym 3D1 upsih 3D2 piv 3D6 \
      ensp 2002 emsp 2003 thinsp 2009 zwnj 200C zwj 200D lrm 200E rlm 200F ndash 2013 mdash 2014 lsquo 2018 rsquo 2019 sbquo 201A \
      ldquo 201C rdquo 201D bdquo 201E dagger 2020 Dagger 2021 bull 2022 hellip 2026 permil 2030 prime 2032 Prime 2033 lsaquo 2039 \
      rsaquo 203A oline 203E frasl 2044 euro 20AC image 2111 weierp 2118 real 211C trade 2122 alefsym 2135 larr 2190 uarr 2191 \
      rarr 2192 darr 2193 harr 2194 crarr 21B5 lArr 21D0 uArr 21D1 rArr 21D2 dArr 21D3 hArr 21D4 forall 2200 part 2202 exist 2203 \
      empty 2205 nabla 2207 isin 2208 notin 2209 ni 220B prod 220F sum 2211 minus 2212 lowast 2217 radic 221A prop 221D infin 221E \
      ang 2220 and 2227 or 2228 cap 2229 cup 222A int 222B there4 2234 sim 223C cong 2245 asymp 2248 ne 2260 equiv 2261 le 2264 \
      ge 2265 sub 2282 sup 2283 nsub 2284 sube 2286 supe 2287 oplus 2295 otimes 2297 perp 22A5 sdot 22C5 lceil 2308 rceil 2309 \
      lfloor 230A rfloor 230B lang 27E8 rang 27E9 loz 25CA spades 2660 clubs 2663 hearts 2665 diams 2666
      """
    let words = others.split(separator: " ")
    for index in stride(from: 0, to: words.count - 1, by: 2) {
      table[String(words[index])] = UInt32(words[index + 1], radix: 16).flatMap(Unicode.Scalar.init)
    }
    return table
  }()
}
