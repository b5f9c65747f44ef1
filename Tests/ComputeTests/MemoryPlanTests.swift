import Compute
import Models
import TestSupport
import Testing

@Suite("The memory plan")
struct MemoryPlanTests {
  /// Programs as training, evaluation and generation run them.
  static func programs(_ architecture: ModelConfig.Architecture) throws -> [Program] {
    var config = ModelConfig.tiny(architecture)
    let plain = try Transformer(config)
    config.dropout = 0.1
    let dropping = try Transformer(config)
    let cached =
      architecture.isBidirectional
      ? [] : [try plain.cachedProgram(batch: 2, time: 3, capacity: 16, logits: .all).program]
    return cached + [
      try plain.lossProgram(batch: 2, time: 16, training: true).program,
      try dropping.lossProgram(batch: 3, time: 5, training: true).program,
      try plain.lossProgram(batch: 2, time: 16, training: false).program,
      try dropping.lossProgram(batch: 2, time: 9, training: true, precision: .bf16).program,
      try plain.logitsProgram(batch: 1, time: 7).program,
    ]
  }

  @Test("never lets two values that are both needed share memory", arguments: ModelConfig.Architecture.allCases)
  func noOverlap(architecture: ModelConfig.Architecture) throws {
    for program in try Self.programs(architecture) {
      for guardBytes in [0, 20] {
        let plan = MemoryPlan(program.graph, guardBytes: guardBytes)
        #expect(Self.conflicts(program.graph, plan, guardBytes: guardBytes) == [])
      }
    }
  }

  @Test("takes a conflict for one")
  func findsConflicts() throws {
    // The check above must be able to fail: a plan for a graph in which everything dies early doesn't fit one in which
    // a value is kept.
    var graph = Graph(parameters: TensorLayout())
    let x = graph.input("x", [32])
    let a = graph.activation(.relu, x)
    let b = graph.activation(.relu, a)
    _ = graph.activation(.relu, b)
    let plan = MemoryPlan(graph)
    #expect(Self.conflicts(graph, plan, guardBytes: 0) == [])
    graph.keep(a)
    #expect(Self.conflicts(graph, plan, guardBytes: 0) != [])
  }

  @Test("puts an output in the place of an input that is needed no more, and only then")
  func inPlace() throws {
    var graph = Graph(parameters: TensorLayout())
    let x = graph.input("x", [32])
    let a = graph.activation(.relu, x)
    let b = graph.activation(.silu, a)
    let c = graph.activation(.gelu, b)
    let sum = try graph.add(b, c)
    graph.keep(sum)
    let offsets = MemoryPlan(graph).offsets
    #expect(offsets[b.id] == offsets[a.id])
    #expect(offsets[c.id] != offsets[b.id])
    #expect(offsets[sum.id] == offsets[b.id] || offsets[sum.id] == offsets[c.id])
    #expect(offsets[a.id] != offsets[x.id], "inputs stay as the host set them")
  }

  @Test("doesn't let an operation write over what the one that it is joined to reads")
  func joined() throws {
    var layout = TensorLayout()
    layout.add("w", [8, 8])
    var graph = Graph(parameters: layout)
    let a = graph.activation(.relu, graph.input("x", [4, 8]))
    let b = try graph.linear(a, weight: graph.parameter("w"))
    let c = graph.activation(.gelu, b)
    graph.keep(try graph.add(b, c))
    func offsets(joined: Set<Int>) -> [Int?] { MemoryPlan(graph, joined: joined).offsets }
    #expect(offsets(joined: [])[c.id] == offsets(joined: [])[a.id])
    #expect(offsets(joined: [1])[c.id] != offsets(joined: [1])[a.id])
  }

  @Test("takes half the bytes for activations in halves")
  func halves() throws {
    func bytes(_ precision: Precision) -> Int {
      var graph = Graph(parameters: TensorLayout(), precision: precision)
      let x = graph.input("x", [4, 64])
      graph.keep(graph.activation(.relu, x))
      return MemoryPlan(graph).byteCount
    }
    #expect(bytes(.fp32) == 2 * 4 * 64 * 4)
    #expect(bytes(.bf16) == 2 * 4 * 64 * 2)
    #expect(bytes(.fp16) == bytes(.bf16))
  }

  @Test("doesn't overwrite a residual that is the matrix product's operand as well")
  func operandAndResidual() throws {
    var layout = TensorLayout()
    layout.add("w", [8, 8])
    var graph = Graph(parameters: layout)
    let x = graph.input("x", [4, 8])
    let h = graph.activation(.relu, x)
    let y = try graph.linear(h, weight: graph.parameter("w"), residual: h)
    graph.keep(y)
    let offsets = MemoryPlan(graph).offsets
    #expect(offsets[y.id] != offsets[h.id])
  }

  @Test("needs no more memory for more layers, unless it trains", arguments: ModelConfig.Architecture.allCases)
  func reuses(architecture: ModelConfig.Architecture) throws {
    func count(layers: Int, training: Bool) throws -> (arena: Int, sum: Int) {
      var config = ModelConfig.tiny(architecture)
      config.layers = layers
      let program = try Transformer(config).lossProgram(batch: 2, time: 16, training: training).program
      let sum = program.graph.infos.indices.reduce(0) { sum, id in
        sum + (program.memory.offsets[id] == nil ? 0 : program.graph.infos[id].byteCount)
      }
      return (program.memory.byteCount, sum)
    }
    let (few, many) = (try count(layers: 2, training: false), try count(layers: 12, training: false))
    #expect(many.arena == few.arena)
    #expect(many.arena * 8 < many.sum)
    let training = try count(layers: 12, training: true)
    #expect(training.arena * 3 < training.sum * 2)
  }

  @Test(
    "keeps nothing for the backward pass that it can cheaply make again, unless asked to",
    arguments: [Precision.fp32, .bf16])
  func keeps(precision: Precision) throws {
    func bytes(layers: Int, keepsActivations: Bool) throws -> Int {
      let config = ModelConfig(.gpt2, vocabularySize: 37, hiddenSize: 256, layers: layers, heads: 4, maxPositions: 32)
      return try Transformer(config).lossProgram(
        batch: 4, time: 32, training: true, keepsActivations: keepsActivations, precision: precision
      ).program.memory.byteCount
    }
    // Of a layer: two residuals, queries, keys and values, what attention gave, what the activation gets; statistics.
    let value = 4 * 32 * 256 * precision.dtype.size
    func layer(keepsActivations: Bool) throws -> Int {
      try (bytes(layers: 12, keepsActivations: keepsActivations) - bytes(layers: 4, keepsActivations: keepsActivations))
        / 8
    }
    #expect(try (10 * value..<11 * value).contains(layer(keepsActivations: false)))
    // And two norms' and the activation's, where asked.
    #expect(try (16 * value..<17 * value).contains(layer(keepsActivations: true)))
  }

  @Test("starts every value at a cache line")
  func alignment() throws {
    for program in try Self.programs(.qwen3) {
      for offset in program.memory.offsets.compactMap(\.self) { #expect(offset.isMultiple(of: MemoryPlan.alignment)) }
    }
  }

  // MARK: The definition, value against value

  /// Pairs of values that share memory while both are needed.
  private static func conflicts(_ graph: Graph, _ plan: MemoryPlan, guardBytes: Int) -> [String] {
    let end = graph.operations.count
    var lives = [ClosedRange<Int>?](repeating: nil, count: graph.infos.count)
    for (index, operation) in graph.operations.enumerated() {
      for node in (operation.operands.reads + operation.operands.writes).compactMap(\.self) {
        lives[node.id] = (lives[node.id]?.lowerBound ?? index)...index
      }
    }
    for (id, info) in graph.infos.enumerated() {
      if info.role == .input { lives[id] = -1...end }
      if info.role == .result, let life = lives[id] { lives[id] = life.lowerBound...end }
    }

    var found: [String] = []
    let planned = graph.infos.indices.filter { plan.offsets[$0] != nil }
    func memory(_ id: Int) -> Range<Int> {
      let start = plan.offsets[id] ?? 0
      return start..<start + graph.infos[id].byteCount
    }
    for id in planned where memory(id).upperBound + guardBytes > plan.byteCount {
      found.append("\(id) ends beyond the arena")
    }
    for (position, a) in planned.enumerated() {
      for b in planned[(position + 1)...] where memory(a).overlaps(memory(b)) {
        guard let lifeA = lives[a], let lifeB = lives[b], lifeA.overlaps(lifeB) else { continue }
        let (old, new) = lifeA.lowerBound < lifeB.lowerBound ? (a, b) : (b, a)
        let handover = max(lifeA.lowerBound, lifeB.lowerBound)
        let operands = handover < end ? graph.operations[handover].operands : nil
        let isHandedOver =
          min(lifeA.upperBound, lifeB.upperBound) == handover && lives[old]?.upperBound == handover
          && memory(a) == memory(b) && graph.infos[a].dtype == graph.infos[b].dtype
          && operands?.inPlace[Node(id: new)]?.contains(Node(id: old)) == true
          && operands?.reads.count { $0?.id == old } == 1
        if !isHandedOver { found.append("\(graph.infos[a].name) \(a), \(graph.infos[b].name) \(b)") }
      }
    }
    return found
  }
}
