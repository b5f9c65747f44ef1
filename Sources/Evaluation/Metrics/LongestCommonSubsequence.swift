/// The length of the longest sequence that is left of both when some elements are taken out.
///
/// The dynamic programme's rows are bits: row ← (row + (row & M)) | (row & ~M), where M has a bit for each place of `a`
/// that equals an element of `b`; its zeros are counted. |a| · |b| ÷ 64 steps, memory for |a| · 64 bits.
///
/// Hyyrö, "Bit-parallel LCS-length computation revisited", AWOCA 2004.
func longestCommonSubsequence(_ a: [UInt32], _ b: [UInt32]) -> Int {
  let wordCount = (a.count + 63) / 64
  guard wordCount > 0, !b.isEmpty else { return 0 }
  var places: [UInt32: [Int]] = [:]
  for (place, element) in a.enumerated() { places[element, default: []].append(place) }

  var row = [UInt64](repeating: .max, count: wordCount)
  var mask = [UInt64](repeating: 0, count: wordCount)
  func set(_ places: [Int], in mask: inout [UInt64]) {
    for place in places { mask[place / 64] |= 1 << UInt64(place % 64) }
  }
  // Elements that stand in many places keep their masks: there are 64 of these at most.
  var kept: [UInt32: [UInt64]] = [:]
  for (element, places) in places where places.count > wordCount {
    var mask = [UInt64](repeating: 0, count: wordCount)
    set(places, in: &mask)
    kept[element] = mask
  }
  for element in b {
    guard let places = places[element] else { continue }
    if let mask = kept[element] {
      advance(&row, mask)
    } else {
      set(places, in: &mask)
      advance(&row, mask)
      for place in places { mask[place / 64] = 0 }
    }
  }
  // Bits behind the last element are never matched and stay 1.
  return row.reduce(0) { $0 + (~$1).nonzeroBitCount }
}

private func advance(_ row: inout [UInt64], _ mask: [UInt64]) {
  var carry: UInt64 = 0
  for index in row.indices {
    let word = row[index]
    let matched = word & mask[index]
    let (sum, overflows) = word.addingReportingOverflow(matched)
    let (whole, overflowsAgain) = sum.addingReportingOverflow(carry)
    carry = overflows || overflowsAgain ? 1 : 0
    row[index] = whole | (word & ~mask[index])
  }
}
