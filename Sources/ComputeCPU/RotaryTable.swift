import Compute

/// cos and sin of every (position, pair).
final class RotaryTable {
  let frequencies: RotaryFrequencies
  let positions: Int
  private let memory: SystemMemory

  init(_ frequencies: RotaryFrequencies, positions: Int) throws(ComputeError) {
    self.frequencies = frequencies
    self.positions = positions
    let count = positions * frequencies.headSize
    memory = try SystemMemory(floats: count, purpose: "rotary tables")
    frequencies.fill(UnsafeMutableBufferPointer(start: memory.floats, count: count), positions: positions)
  }

  var cosines: UnsafePointer<Float> { UnsafePointer(memory.floats) }
  var sines: UnsafePointer<Float> { UnsafePointer(memory.floats) + positions * (frequencies.headSize / 2) }
}
