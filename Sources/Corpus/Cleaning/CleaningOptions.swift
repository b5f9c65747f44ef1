/// What is done to documents before they are deduplicated; nothing of it by itself.
package struct CleaningOptions: Sendable {
  /// In the order in which they are done.
  package enum Step: String, CaseIterable, Sendable {
    case mojibake, controls, nfc, boilerplate, gopher, repetition, c4
    /// The last one: it needs all documents, the others one.
    case repeatedLines = "repeated-lines"

    /// In words.
    package var meaning: String {
      switch self {
      case .mojibake: "UTF-8 that was read as Windows-1252 is repaired"
      case .controls: "control characters, zero-width spaces and marks of direction are taken out"
      case .nfc: "characters in Unicode's composed form (NFC)"
      case .boilerplate: "notices, menus and invitations are taken out, line by line"
      case .gopher: "Gopher's rules for quality"
      case .repetition: "Gopher's rules for repetition"
      case .c4: "C4's rules for pages of prose"
      case .repeatedLines:
        "lines of \(RepeatedLines.fewestCharacters) characters or more that stand in more than "
          + "\(RepeatedLines.mostDocuments) documents are taken out"
      }
    }
  }

  package var steps: Set<Step> = []
  /// Documents of fewer, or more, characters are left out.
  package var minCharacters = 0
  package var maxCharacters = Int.max
  /// Documents in none of these are left out; empty: all stay.
  package var languages: [String] = []
  package var languageModel: LanguageModel?
  /// Below this a document's language is not known.
  package var languageProbability = 0.65
  /// Words of these are taken out.
  package var stopWordLanguages: [String] = []
  package var scrubsPersonalData = false
  /// Documents that share a sequence of 13 words with one of these texts are left out.
  package var evaluationTexts: [[UInt8]] = []

  package init() {}

  /// What is harmless to any text.
  package static let textSteps: Set<Step> = [.mojibake, .controls, .nfc]
}
