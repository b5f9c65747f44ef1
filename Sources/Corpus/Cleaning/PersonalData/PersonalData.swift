/// Finds what tells of single persons, or opens their doors, and puts the name of its kind in its place.
///
/// What has check digits is only taken where they are right. A pass over bytes: every kind begins with a digit, a letter, +, (
/// or has an @.
package struct PersonalData: Sendable {
  package enum Kind: String, CaseIterable, Sendable {
    case email, phone, identityNumber = "identity_number", card, iban, ipAddress = "ip_address", key

    /// What stands for it in the text.
    package var placeholder: String {
      switch self {
      case .email: "<EMAIL>"
      case .phone: "<PHONE>"
      case .identityNumber: "<ID_NUMBER>"
      case .card: "<CARD_NUMBER>"
      case .iban: "<IBAN>"
      case .ipAddress: "<IP_ADDRESS>"
      case .key: "<KEY>"
      }
    }
  }

  package struct Match: Equatable, Sendable {
    package let kind: Kind
    package let range: Range<Int>
  }

  /// All matches in their order; none overlaps another.
  package static func find(in text: UnsafeRawBufferPointer) -> [Match] {
    var matches: [Match] = []
    var place = 0
    // Where the last match ends: an e-mail address may not reach behind it.
    var done = 0
    while place < text.count {
      let byte = text[place]
      var match: Match?
      if byte == UInt8(ascii: "@") {
        match = EmailAddress.find(in: text, at: place, from: done)
      } else if isWordByte(byte), place == 0 || !isWordByte(text[place - 1]) {
        match = startingWord(in: text, at: place)
        if match == nil {
          // No other kind begins within a word.
          while place < text.count, isWordByte(text[place]) { place += 1 }
          continue
        }
      } else if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "("), place == 0 || !isWordByte(text[place - 1]) {
        match = PhoneNumber.find(in: text, DigitGroups(text, at: place), at: place)
      } else if byte == UInt8(ascii: "-") {
        match = SecretKey.findBlock(in: text, at: place)
      }
      if let match {
        matches.append(match)
        place = match.range.upperBound
        done = place
      } else {
        place += 1
      }
    }
    return matches
  }

  /// The text with placeholders, and how many of each kind; nil where nothing was found.
  package static func scrubbed(_ text: UnsafeRawBufferPointer) -> (text: [UInt8], counts: [Kind: Int])? {
    let matches = find(in: text)
    guard !matches.isEmpty else { return nil }
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var counts: [Kind: Int] = [:]
    var done = 0
    for match in matches {
      result.append(contentsOf: text[done..<match.range.lowerBound])
      result.append(contentsOf: match.kind.placeholder.utf8)
      done = match.range.upperBound
      counts[match.kind, default: 0] += 1
    }
    result.append(contentsOf: text[done...])
    return (result, counts)
  }

  private static func startingWord(in text: UnsafeRawBufferPointer, at place: Int) -> Match? {
    if isDigit(text[place]) {
      let groups = DigitGroups(text, at: place)
      return InternetAddress.find(in: text, groups, at: place) ?? CardNumber.find(in: text, groups, at: place)
        ?? IdentityNumber.find(in: text, groups, at: place) ?? PhoneNumber.find(in: text, groups, at: place)
        ?? SecretKey.find(in: text, at: place)
    }
    return IBAN.find(in: text, at: place) ?? IdentityNumber.find(in: text, nil, at: place)
      ?? InternetAddress.find(in: text, nil, at: place) ?? SecretKey.find(in: text, at: place)
  }

  @inline(__always)
  static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

  @inline(__always)
  static func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) &- 0x61 < 26 }

  /// Of words and numbers; characters beyond ASCII may stand beside either without a space.
  @inline(__always)
  static func isWordByte(_ byte: UInt8) -> Bool { isDigit(byte) || isLetter(byte) || byte == UInt8(ascii: "_") }
}

/// Digits in groups, from one place of a text on, with what stands between them.
struct DigitGroups {
  struct Group {
    /// Where it stands in the text.
    let range: Range<Int>
    /// What stands before it, behind the group before.
    let separator: Slice<UnsafeRawBufferPointer>
    /// Of this group and those before.
    let digitCount: Int
  }

  private(set) var groups: [Group] = []
  private let text: UnsafeRawBufferPointer

  private static let mostGroups = 12

  /// - Parameter place: of a digit, a + or a (.
  init(_ text: UnsafeRawBufferPointer, at place: Int) {
    self.text = text
    groups.reserveCapacity(Self.mostGroups)
    var index = place
    var separator = place
    while index < text.count, groups.count < Self.mostGroups {
      let byte = text[index]
      if PersonalData.isDigit(byte) {
        let start = index
        while index < text.count, PersonalData.isDigit(text[index]) { index += 1 }
        groups.append(
          Group(
            range: start..<index, separator: text[separator..<start],
            digitCount: (groups.last?.digitCount ?? 0) + index - start))
        separator = index
      } else if index - separator < 3, Self.separates(byte) || byte == UInt8(ascii: "+") && groups.isEmpty {
        index += 1
      } else {
        return
      }
    }
  }

  private static func separates(_ byte: UInt8) -> Bool {
    switch UnicodeScalar(byte) {
    case " ", "-", ".", "/", "(", ")": true
    default: false
    }
  }

  /// Whether so many groups have so many digits together.
  func have(_ digits: ClosedRange<Int>, in count: Int) -> Bool { digits.contains(groups[count - 1].digitCount) }

  /// The digits of the first groups, as numbers.
  func digits(_ count: Int) -> [Int] {
    groups.prefix(count).flatMap { group in text[group.range].map { Int($0) - 0x30 } }
  }

  func lengths(_ count: Int) -> [Int] { groups.prefix(count).map { $0.range.count } }

  /// Whether the number may end behind so many groups: no letter, digit or @ follows, nor a decimal.
  func ends(behind count: Int) -> Bool {
    let end = groups[count - 1].range.upperBound
    guard end < text.count else { return true }
    let next = text[end]
    if PersonalData.isWordByte(next) || next == UInt8(ascii: "@") || next == UInt8(ascii: "%") { return false }
    if next == UInt8(ascii: ".") || next == UInt8(ascii: ","), end + 1 < text.count, PersonalData.isDigit(text[end + 1])
    {
      return false
    }
    return true
  }

  /// Whether only one of these separators stands between the first groups.
  func areSeparated(_ count: Int, by allowed: String) -> Bool {
    groups.prefix(count).dropFirst().allSatisfy { group in
      group.separator.count == 1 && group.separator.allSatisfy { allowed.utf8.contains($0) }
    }
  }
}

/// Words that tell what a number behind them is.
enum NumberContext {
  private static let reach = 28

  static func precedes(_ place: Int, in text: UnsafeRawBufferPointer, _ finder: PhraseFinder) -> Bool {
    finder.finds(in: UnsafeRawBufferPointer(rebasing: text[max(0, place - reach)..<place]))
  }

  static let phone = PhraseFinder([
    "tel", "phone", "mobile", "mobil", "cell", "call", "fax", "whatsapp", "text me", "sms", "handy", "fon:", "telefon",
    "téléphone",
    "portable", "móvil", "celular", "电话", "電話", "手机", "手機", "联系", "聯絡", "聯繫", "传真", "傳真", "致电", "拨打", "☎", "📞", "携帯",
    "전화", "тел",
  ])
  static let identity = PhraseFinder([
    "ssn", "social security", "national id", "id number", "id no", "id:", "identity", "passport", "tax id", "tin",
    "aadhaar", "aadhar",
    "pan ", "nino", "national insurance", "steuer", "identifikationsnummer", "dni", "nie", "nif", "cpf", "cnpj",
    "pesel", "bsn",
    "personnummer", "codice fiscale", "sécurité sociale", "securite sociale", "insee", "nir", "my number", "マイナンバー",
    "個人番号",
    "身份证", "身份證", "证件", "證件", "주민등록",
  ])
  static let book = PhraseFinder(["isbn", "issn", "doi", "arxiv", "version", "ver."])
}
