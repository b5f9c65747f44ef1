import Compute
import Formats
import Models
import TestSupport
import Tokenization
import Training

/// Settings of a run of a tiny model.
func tinySettings(_ architecture: ModelConfig.Architecture = .gpt2, vocabularySize: Int = 37) -> Settings {
  var settings = Settings(model: .tiny(architecture, vocabularySize: vocabularySize))
  settings.train.batchSize = 4
  settings.train.context = 16
  settings.train.warmupSteps = 2
  settings.train.learningRate = 1e-2
  settings.train.schedule = .cosine
  settings.train.minLearningRateRatio = 0.1
  settings.train.steps = 12
  return settings
}

func writeShard(_ ids: [Int32], to path: String) throws {
  let writer = try TokenShardWriter(path: path, vocabularySize: 1 << 16)
  try writer.append(ids)
  try writer.commit()
}

/// Each id follows from the one before: something that can be learned.
func learnable(_ count: Int, from first: Int32 = 1) -> [Int32] {
  var ids = [first]
  while ids.count < count { ids.append((ids[ids.count - 1] * 5 + 7) % 37) }
  return ids
}

/// The objects of a file of one JSON value a line.
func lines(of path: String) throws -> [JSON] {
  try FileSystem.read(path).split(separator: UInt8(ascii: "\n")).map { try JSON.parse(Array($0)) }
}
