import Compute

/// cos and sin of every (position, pair), in the GPU's memory.
final class RotaryTable {
  let frequencies: RotaryFrequencies
  let positions: Int
  private let memory: DeviceMemory

  init(_ frequencies: RotaryFrequencies, positions: Int, gpu: GPU) throws(ComputeError) {
    self.frequencies = frequencies
    self.positions = positions
    var values = [Float](repeating: 0, count: positions * frequencies.headSize)
    values.withUnsafeMutableBufferPointer { frequencies.fill($0, positions: positions) }
    memory = try DeviceMemory(gpu, bytes: 4 * values.count, purpose: "rotary tables")
    try gpu.copy(values, to: memory.address, bytes: 4 * values.count)
    try gpu.synchronize()
  }

  var cosines: Address { memory.address }
  var sines: Address { memory.address + 4 * positions * (frequencies.headSize / 2) }
}
