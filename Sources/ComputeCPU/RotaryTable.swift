import Compute
import Foundation

/// cos and sin of every (position, pair).
final class RotaryTable {
  let frequencies: RotaryFrequencies
  let positions: Int
  private let memory: FloatMemory

  init(_ frequencies: RotaryFrequencies, positions: Int) throws(ComputeError) {
    self.frequencies = frequencies
    self.positions = positions
    let half = frequencies.headSize / 2
    memory = try FloatMemory(count: 2 * positions * half, purpose: "rotary tables")
    for pair in 0..<half {
      let frequency = frequencies.frequency(pair: pair)
      for position in 0..<positions {
        let angle = Double(Float(position) * frequency)
        memory.pointer[position * half + pair] = Float(cos(angle))
        memory.pointer[(positions + position) * half + pair] = Float(sin(angle))
      }
    }
  }

  var cosines: UnsafePointer<Float> { UnsafePointer(memory.pointer) }
  var sines: UnsafePointer<Float> { UnsafePointer(memory.pointer) + positions * (frequencies.headSize / 2) }
}
