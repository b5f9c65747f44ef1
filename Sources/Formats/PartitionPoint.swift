extension RandomAccessCollection where Index == Int {
  /// The first index of an element that isn't true, where all that are come first; the end where all are. O(log n).
  @inlinable
  package func partitionPoint(_ isBefore: (Element) -> Bool) -> Int {
    var (low, high) = (startIndex, endIndex)
    while low < high {
      let middle = low + (high - low) / 2
      if isBefore(self[middle]) { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
