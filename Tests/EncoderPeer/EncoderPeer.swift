import Compute
import ComputeCPU
import Formats
import Models

/// `EncoderPeer INPUT OUTPUT`: runs an encoder's layers over given vectors, forward and backward, for the test that
/// compares them with torch.nn.TransformerEncoder.
///
/// INPUT (safetensors): `x` and `dy` (B, T, C), `lengths` (B), `heads` and `dropout` (1), and the weights under the names
/// of torch's state_dict. OUTPUT: `y`, `dx`, each weight's gradient under its name, and with dropout what each mask
/// multiplied by: `mask.0`, `mask.1`, … in the order of the forward pass.
@main
enum EncoderPeer {
  static func main() throws {
    let input = try SafetensorsFile(path: CommandLine.arguments[1])
    func shape(_ name: String) -> [Int] { input.info(name)?.shape ?? [] }
    let (B, T, C) = (shape("x")[0], shape("x")[1], shape("x")[2])
    var config = ModelConfig(
      .encoder, vocabularySize: 1, hiddenSize: C, layers: input.tensors.count { $0.name.hasSuffix("linear1.weight") },
      heads: Int(try input.floats("heads")[0]), maxPositions: T)
    config.intermediateSize = shape("layers.0.linear1.weight")[0]
    config.dropout = try input.floats("dropout")[0]

    let transformer = try Transformer(config)
    var graph = Graph(parameters: transformer.parameterLayout)
    let x = graph.input("x", [B, T, C])
    let dy = graph.input("dy", [B, T, C])
    let positions = graph.input("positions", [B, T], .int32)
    let ranges = graph.input("ranges", [B, T, 2], .int32)
    let y = try transformer.layers(&graph, x, positions: positions, dropout: config.dropout) {
      (graph, qkv, _) throws(ComputeError) in
      try transformer.attention(&graph, qkv, mask: .ranges(ranges), dropout: config.dropout)
    }
    graph.keep(y)
    let forward = graph.operations
    let gradients = try graph.differentiate(seeds: [(value: y, gradient: dy)])

    let executor = try CPUExecutor()
    let store = try executor.makeParameters(transformer.parameterLayout, training: true)
    let weights = WeightMap(config, layout: store.layout).entries.filter { $0.name.hasPrefix("encoder.") }
    func name(_ entry: WeightMap.Entry) -> String { String(entry.name.dropFirst("encoder.".count)) }
    for entry in weights {
      guard let parameter = store.layout[entry.parameter] else { continue }
      try store.write(.weights, parameter, input.floats(name(entry)))
    }
    let execution = try executor.prepare(Program(graph), parameters: store, states: nil)
    try execution.set(x, input.floats("x"))
    try execution.set(dy, input.floats("dy"))
    try execution.set(ranges, KeyRanges.padding(lengths: input.floats("lengths").map { Int($0) }, time: T))
    let context = RunContext(seed: 7, microStep: 3)
    try execution.run(context)

    var results: [(name: String, shape: [Int], values: [Float])] = try [("y", [B, T, C], execution.get(y))]
    if let dx = gradients[x] { results.append(("dx", [B, T, C], try execution.get(dx))) }
    for entry in weights {
      guard let parameter = store.layout[entry.parameter] else { continue }
      try results.append((name(entry), entry.shape.dimensions, store.read(.gradients, parameter)))
    }
    for mask in forward.compactMap({ masks($0, graph, context) }) {
      results.append(("mask.\(results.count { $0.name.hasPrefix("mask.") })", mask.shape, mask.values))
    }
    let writer = try SafetensorsWriter(
      path: CommandLine.arguments[2], tensors: results.map { .init($0.name, .float32, $0.shape) })
    for result in results { try writer.append(result.name, result.values) }
    try writer.commit()
  }

  /// What an operation's dropout multiplies by, from its definition; nil where it drops nothing.
  private static func masks(_ operation: Operation, _ graph: Graph, _ context: RunContext) -> (
    shape: [Int], values: [Float]
  )? {
    switch operation {
    case .attention(let op) where op.dropout > 0:
      let mask = DropoutMask(rate: op.dropout, site: op.site, context)
      let rows = graph.shape(op.logSumExp)  // (B, H, T)
      let T = rows[2]
      return (rows.dimensions + [T], (0..<rows.count * T).map { Float(mask.factor(queryRow: $0 / T, key: $0 % T)) })
    case .dropout(let op):
      let mask = DropoutMask(rate: op.rate, site: op.site, context)
      return (graph.shape(op.x).dimensions, (0..<graph.shape(op.x).count).map { Float(mask.factor($0)) })
    default: return nil
    }
  }
}
