/// The short sequences of characters by which ``LanguageModel`` tells languages: one to four letters in lower case,
/// words set off by spaces, hashed into buckets. Of scripts without spaces one or two: longer ones are nearly all
/// different.
///
/// What programs and pages are made of says nothing of a language, though it looks like English: a run of ASCII with a
/// mark of code in it (`/usr/bin`, `--all`, `file.txt`, `<b>`, `x86`) is passed over like white space.
enum LetterSequences {
  static let buckets = 1 << 17
  static let longest = 4

  /// Scripts that share no letters. Each is evidence for itself: see ``LanguageModel/language(of:)``.
  enum Script: Int {
    case latin, other
  }

  /// All sequences of a text, each with the script of its last letter.
  ///
  /// - Returns: how many letters of each script there are. Of scripts without spaces each counts as three: an ideograph
  ///   says as much as half a word.
  @inline(__always)
  @discardableResult
  static func forEach(
    in text: UnsafeRawBufferPointer, _ body: (_ bucket: Int, _ script: Script) -> Void
  ) -> (latin: Int, other: Int) {
    // The last characters, the newest first.
    var recent: (UInt32, UInt32, UInt32) = (0x20, 0, 0)
    var known = 1
    var most = longest
    var script = Script.latin
    var letters = (latin: 0, other: 0)
    func add(_ scalar: UInt32) {
      var hash = UInt64(scalar) &* 0x9E37_79B9_7F4A_7C15
      body(bucket(hash, 1), script)
      for (length, before) in [(2, recent.0), (3, recent.1), (4, recent.2)] where length <= min(most, known + 1) {
        hash = (hash ^ UInt64(before)) &* 0xBF58_476D_1CE4_E5B9
        hash ^= hash >> 31
        body(bucket(hash, length), script)
      }
      recent = (scalar, recent.0, recent.1)
      known = min(known + 1, longest - 1)
    }
    var place = 0
    var isInWord = false
    // Up to here a run of ASCII is known not to be code.
    var checked = 0
    while place < text.count {
      let byte = text[place]
      var scalar = UInt32(byte | 0x20)
      var width = 1
      var isLetter = scalar &- 0x61 < 26
      if byte >= 0x80 {
        (scalar, width) = DocumentWords.scalar(text, at: place)
        isLetter = DocumentWords.isLetter(scalar)
        scalar = DocumentWords.folded(scalar)
      } else if byte > 0x20, place >= checked {
        let run = asciiRun(text, from: place)
        checked = run.end
        if run.isCode {
          isLetter = false
          width = run.end - place
        }
      }
      place += width
      if isLetter {
        script = isLatin(scalar) ? .latin : .other
        let isUnspaced = DocumentWords.isUnspaced(scalar)
        most = isUnspaced ? 2 : longest
        if script == .latin { letters.latin += 1 } else { letters.other += isUnspaced ? 3 : 1 }
        add(scalar)
        isInWord = true
      } else if isInWord {
        add(0x20)
        isInWord = false
      }
    }
    if isInWord { add(0x20) }
    return letters
  }

  @inline(__always)
  private static func bucket(_ hash: UInt64, _ length: Int) -> Int {
    Int(truncatingIfNeeded: ((hash &+ UInt64(length)) &* 0x94D0_49BB_1331_11EB) >> 47)
  }

  /// Basic Latin and its extensions, those of Vietnamese among them, and combining accents.
  private static func isLatin(_ scalar: UInt32) -> Bool {
    scalar < 0x250 || (0x1E00...0x1EFF).contains(scalar) || (0x300...0x36F).contains(scalar)
  }

  /// The end of the ASCII characters from a place on without a space among them, and whether they look like code.
  private static func asciiRun(_ text: UnsafeRawBufferPointer, from start: Int) -> (end: Int, isCode: Bool) {
    var end = start
    var isCode = false
    var before: UInt8 = 0x20
    while end < text.count, text[end] > 0x20, text[end] < 0x7F {
      let byte = text[end]
      switch byte {
      case UInt8(ascii: "_"), UInt8(ascii: "/"), UInt8(ascii: "\\"), UInt8(ascii: "@"), UInt8(ascii: "<"),
        UInt8(ascii: ">"), UInt8(ascii: "="), UInt8(ascii: "{"), UInt8(ascii: "}"), UInt8(ascii: "$"),
        UInt8(ascii: "#"), UInt8(ascii: "|"), UInt8(ascii: "~"), UInt8(ascii: "^"), UInt8(ascii: "+"):
        isCode = true
      case UInt8(ascii: "-") where before == byte: isCode = true
      default:
        // file.txt, std::move, 3D, x86
        let isLetter = PersonalData.isLetter(byte)
        if isLetter, before == UInt8(ascii: ".") || before == UInt8(ascii: ":") || PersonalData.isDigit(before) {
          isCode = true
        }
        if PersonalData.isDigit(byte), PersonalData.isLetter(before) { isCode = true }
      }
      before = byte
      end += 1
    }
    return (end, isCode)
  }
}
