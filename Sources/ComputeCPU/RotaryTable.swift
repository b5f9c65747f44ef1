import Compute
import Foundation

/// cos and sin of every (position, pair).
final class RotaryTable {
  let frequencies: RotaryFrequencies
  let positions: Int
  private let memory: SystemMemory

  init(_ frequencies: RotaryFrequencies, positions: Int) throws(ComputeError) {
    self.frequencies = frequencies
    self.positions = positions
    let half = frequencies.headSize / 2
    memory = try SystemMemory(floats: 2 * positions * half, purpose: "rotary tables")
    for pair in 0..<half {
      let frequency = frequencies.frequency(pair: pair)
      for position in 0..<positions {
        let angle = Double(Float(position) * frequency)
        memory.floats[position * half + pair] = Float(cos(angle))
        memory.floats[(positions + position) * half + pair] = Float(sin(angle))
      }
    }
  }

  var cosines: UnsafePointer<Float> { UnsafePointer(memory.floats) }
  var sines: UnsafePointer<Float> { UnsafePointer(memory.floats) + positions * (frequencies.headSize / 2) }
}
