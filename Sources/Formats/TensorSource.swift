/// What a file says about one tensor.
package struct TensorInfo: Equatable, Sendable {
  package let name: String
  package let type: TensorType
  package let shape: [Int]
  /// Its bytes' place in the file.
  package let bytes: Range<Int>

  /// How many elements it has.
  package var count: Int { bytes.count / type.size }
  /// Elements of one row: of one index of the first dimension.
  package var rowCount: Int { shape.dropFirst().reduce(1, *) }
}

/// Named tensors in a file or a folder of files, read piece by piece.
package protocol TensorSource: Sendable {
  /// The file or folder, for messages.
  var path: String { get }
  /// In the order of the files.
  var tensors: [TensorInfo] { get }
  /// Nil where there is no tensor of this name.
  func info(_ name: String) -> TensorInfo?
  /// Reads elements as Float32, from element `start` on, as many as the buffer holds.
  ///
  /// - Throws: ``SafetensorsProblem/noTensor(_:)``, or ``SafetensorsProblem/wrongType(_:expected:found:)`` for a type
  ///   that isn't a float of 16, 32 or 64 bits.
  func read(_ name: String, from start: Int, into buffer: UnsafeMutableBufferPointer<Float>) throws(FormatError)
}

extension TensorSource {
  /// The tensor's description, or an error that names what is missing.
  package func require(_ name: String) throws(FormatError) -> TensorInfo {
    guard let info = info(name) else { throw .safetensors(path: path, .noTensor(name)) }
    return info
  }

  /// Reads a whole tensor into a buffer of its size.
  package func read(_ name: String, into buffer: UnsafeMutableBufferPointer<Float>) throws(FormatError) {
    let info = try require(name)
    guard info.count == buffer.count else {
      throw .safetensors(path: path, .wrongCount(name, expected: buffer.count, found: info.count))
    }
    try read(name, from: 0, into: buffer)
  }

  /// A whole tensor, or some of its rows.
  package func floats(_ name: String, rows: Range<Int>? = nil) throws(FormatError) -> [Float] {
    let info = try require(name)
    let elements = rows.map { $0.lowerBound * info.rowCount..<$0.upperBound * info.rowCount } ?? 0..<info.count
    guard elements.lowerBound >= 0, elements.upperBound <= info.count else {
      throw .safetensors(path: path, .wrongCount(name, expected: elements.upperBound, found: info.count))
    }
    var values = [Float](repeating: 0, count: elements.count)
    try values.withUnsafeMutableBufferPointer { buffer throws(FormatError) in
      try read(name, from: elements.lowerBound, into: buffer)
    }
    return values
  }
}
