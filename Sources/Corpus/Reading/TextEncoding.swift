import Formats

/// How the characters of a file are written as bytes, told from the bytes themselves.
///
/// A mark at the start settles it; else what is valid UTF-8, or nearly, is that; then the zeros of UTF-16, or the encoding in
/// which most characters are common Chinese ones; at last Western European, if all that isn't ASCII looks like it.
struct TextEncoding: Equatable, Sendable {
  /// As iconv knows it.
  let name: String
  /// Bytes of the mark at the start.
  var markLength = 0

  static let utf8 = TextEncoding(name: "UTF-8")

  var isUTF8: Bool { name == Self.utf8.name }

  /// - Parameter head: the start of a file, the whole of it where it is short.
  /// - Returns: nil for what is no text in an encoding that is known here.
  static func detect(_ head: ArraySlice<UInt8>) -> TextEncoding? {
    if let marked = marked(head), !marked.name.hasPrefix("UTF-16") || !isASCII(head) { return marked }
    if head.contains(0) { return wide(head) ?? chinese(head, ["UTF-16LE", "UTF-16BE"]) }
    let counts = UTF8Counts(head)
    // A few damaged places don't make a text of something else.
    if counts.invalid == 0 || counts.invalid * 20 < counts.valid { return utf8 }
    let names = head.count % 2 == 0 ? ["GB18030", "BIG5-HKSCS", "UTF-16LE", "UTF-16BE"] : ["GB18030", "BIG5-HKSCS"]
    if let encoding = chinese(head, names) ?? western(head) { return encoding }
    // Mostly ASCII, with damage: what it was can't be told.
    return head.count { $0 >= 0x80 } * 3 < head.count ? utf8 : nil
  }

  // MARK: Marks

  private static func marked(_ head: ArraySlice<UInt8>) -> TextEncoding? {
    let marks: [(String, [UInt8])] = [
      ("UTF-8", [0xEF, 0xBB, 0xBF]), ("UTF-32LE", [0xFF, 0xFE, 0, 0]), ("UTF-32BE", [0, 0, 0xFE, 0xFF]),
      ("UTF-16LE", [0xFF, 0xFE]), ("UTF-16BE", [0xFE, 0xFF]), ("GB18030", [0x84, 0x31, 0x95, 0x33]),
    ]
    return marks.first { head.starts(with: $0.1) }.map { TextEncoding(name: $0.0, markLength: $0.1.count) }
  }

  /// Whether what stands behind a mark is no UTF-16 but plain ASCII, damaged here and there.
  private static func isASCII(_ head: ArraySlice<UInt8>) -> Bool {
    let printable = head.count { $0 >= 0x20 && $0 < 0x7F || (0x09...0x0D).contains($0) }
    return !head.contains(0) && printable * 10 > head.count * 9
  }

  // MARK: UTF-16 without a mark

  /// The order of bytes in which most characters are ASCII or Chinese; binary data has no such order.
  private static func wide(_ head: ArraySlice<UInt8>) -> TextEncoding? {
    guard head.count >= 8, head.count % 2 == 0 else { return nil }
    let orders = [("UTF-16LE", 0, 1), ("UTF-16BE", 1, 0)].map { name, low, high in
      var (plausible, count) = (0, 0)
      for place in stride(from: head.startIndex, to: head.endIndex - 1, by: 2) {
        let unit = UInt32(head[place + high]) << 8 | UInt32(head[place + low])
        count += 1
        switch unit {
        case 0x09, 0x0A, 0x0D, 0x20...0x7E, 0xA0...0x24F, 0x370...0x5FF, 0x2010...0x203B, 0x3000...0x30FF,
          0x4E00...0x9FFF,
          0xAC00...0xD7A3, 0xFF01...0xFF5E:
          plausible += 1
        default: break
        }
      }
      return (name: name, share: Double(plausible) / Double(max(count, 1)))
    }
    guard let best = orders.max(by: { $0.share < $1.share }), best.share > 0.95,
      abs(orders[0].share - orders[1].share) > 0.3
    else { return nil }
    return TextEncoding(name: best.name)
  }

  // MARK: Chinese

  /// That of some encodings in which most characters beyond ASCII are common ones.
  private static func chinese(_ head: ArraySlice<UInt8>, _ names: [String]) -> TextEncoding? {
    let shares = names.map { name in (name: name, share: commonShare(of: head, in: name)) }
    guard let best = shares.max(by: { $0.share < $1.share }), best.share > 0.3 else { return nil }
    return TextEncoding(name: best.name)
  }

  /// How many of the characters beyond ASCII are among the most common of Chinese, when read in an encoding.
  private static func commonShare(of head: ArraySlice<UInt8>, in encoding: String) -> Double {
    guard let text = try? converted(Array(head), from: encoding) else { return 0 }
    var (common, all, invalid) = (0, 0, 0)
    for scalar in text.unicodeScalars where scalar.value >= 0x80 {
      all += 1
      if scalar == "\u{FFFD}" { invalid += 1 }
      if Self.common.contains(scalar) { common += 1 }
    }
    // The end of the head may cut a character.
    return invalid > 1 + all / 100 ? 0 : Double(common) / Double(max(all, 1))
  }

  private static let common = Set(
    """
    的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当\
    没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物\
    手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认\
    条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则\
    听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运\
    這個們來為國說時會對於後過發裡種經麼學現當沒動還進樣開從實軍無與長機業將兩間問戰頭體見產話內給門東聲員論處義幾認條係氣題爾別變總電數報結務場\
    計應點關資統區隊決馬書則聽達強難權設記類據張該規萬覺術領確傳師觀讓識帶導爭運並著裏\
    ，。、；：？！“”‘’（）《》「」『』—…　
    """.unicodeScalars)

  private static func converted(_ bytes: [UInt8], from encoding: String) throws(FormatError) -> String {
    let stream = try ConvertedStream(BytesStream(bytes), from: encoding)
    var text: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = try block.lendMutableBytes { buffer throws(FormatError) in try stream.read(into: buffer) }
      if count == 0 { return String(decoding: text, as: UTF8.self) }
      text.append(contentsOf: block[..<count])
    }
  }

  // MARK: Western European

  /// Letters with accents stand one by one beside letters without; in other scripts most letters are beyond ASCII.
  private static func western(_ head: ArraySlice<UInt8>) -> TextEncoding? {
    var (high, low, inWords) = (0, 0, 0)
    func isLetter(_ place: Int) -> Bool {
      head.indices.contains(place) && (head[place] | 0x20) &- 0x61 < 26
    }
    for place in head.indices {
      switch head[place] {
      case 0x41...0x5A, 0x61...0x7A: low += 1
      // Unassigned in Windows-1252; and ÿ, which no language uses but as damage.
      case 0x81, 0x8D, 0x8F, 0x90, 0x9D, 0xFF: return nil
      case 0xC0...:
        high += 1
        if isLetter(place - 1) || isLetter(place + 1) { inWords += 1 }
      case 0x80...: high += 1
      default: break
      }
    }
    return high * 3 < low && inWords * 5 > high * 2 ? TextEncoding(name: "WINDOWS-1252") : nil
  }
}

/// What of a text's bytes beyond ASCII is UTF-8: sequences, and bytes that are in none.
private struct UTF8Counts {
  private(set) var (valid, invalid) = (0, 0)

  init(_ bytes: ArraySlice<UInt8>) {
    bytes.withUnsafeBufferPointer { source in
      var place = 0
      while place < source.count {
        if source[place] < 0x80 {
          place += 1
          continue
        }
        let (length, isValid) = TextCleaner.sequence(source, at: place)
        // The end of the head may cut a character.
        if !isValid, place + 3 >= source.count { return }
        if isValid { valid += 1 } else { invalid += 1 }
        place += length
      }
    }
  }
}
