/// One arena for all values of a program: every value an offset, memory reused as soon as its value is needed no more,
/// outputs in place of their inputs where the operation allows it.
///
/// Placement is greedy by size: Pisarchyk & Lee, "Efficient Memory Management for Deep Neural Net Inference",
/// arXiv:2001.03288, section 5.
package struct MemoryPlan: Sendable {
  /// Bytes between which values start: a cache line and the widest vector.
  package static let alignment = 64

  /// Offset in the arena in bytes, by node id; nil for what lives elsewhere (parameters, states).
  package let offsets: [Int?]
  /// Bytes of the arena.
  package let byteCount: Int
  /// Bytes that belong to some value; the others are never written.
  package let occupied: [Range<Int>]

  /// - Parameters:
  ///   - guardBytes: left free behind every value, for tests to find stray writes.
  ///   - joined: places of operations that run together with the next one: what either reads lives as long as both.
  package init(_ graph: Graph, guardBytes: Int = 0, joined: Set<Int> = []) {
    var tenants = Self.tenants(of: graph, joined)
    // Largest first, each at the lowest place that is free for its whole life.
    tenants.sort { ($0.byteCount, $1.nodes[0]) > ($1.byteCount, $0.nodes[0]) }
    var placed: [(tenant: Tenant, offset: Int)] = []
    var offsets = [Int?](repeating: nil, count: graph.infos.count)
    var byteCount = 0
    for tenant in tenants {
      let size = aligned(tenant.byteCount + guardBytes, to: Self.alignment)
      let neighbours = placed.filter { $0.tenant.life.overlaps(tenant.life) }.sorted { $0.offset < $1.offset }
      var offset = 0
      for neighbour in neighbours {
        if neighbour.offset >= offset + size { break }
        offset = max(
          offset, aligned(neighbour.offset + neighbour.tenant.byteCount + guardBytes, to: Self.alignment))
      }
      placed.append((tenant, offset))
      for node in tenant.nodes { offsets[node] = offset }
      byteCount = max(byteCount, offset + size)
    }
    self.offsets = offsets
    self.byteCount = byteCount
    occupied = placed.map { $0.offset..<$0.offset + $0.tenant.byteCount }
  }

  /// Values that share one piece of memory because each takes over its predecessor's.
  private struct Tenant {
    var nodes: [Int]
    var byteCount: Int
    /// From the moment at which the first value is written to that at which the last is read.
    var life: ClosedRange<Int>
  }

  private static func tenants(of graph: Graph, _ joined: Set<Int>) -> [Tenant] {
    let end = graph.operations.count
    /// When each operation runs.
    let moments = graph.operations.indices.map { joined.contains($0 - 1) ? $0 - 1 : $0 }
    var lastUse = [Int](repeating: -1, count: graph.infos.count)
    for (moment, operation) in zip(moments, graph.operations) {
      for node in operation.operands.reads + operation.operands.writes {
        if let node { lastUse[node.id] = moment }
      }
    }
    for id in graph.infos.indices where graph.infos[id].role == .result || graph.infos[id].role == .input {
      lastUse[id] = end
    }

    var tenants: [Tenant] = []
    var tenantOf = [Int?](repeating: nil, count: graph.infos.count)
    func settle(_ id: Int, from start: Int) {
      tenantOf[id] = tenants.count
      tenants.append(Tenant(nodes: [id], byteCount: graph.infos[id].byteCount, life: start...max(start, lastUse[id])))
    }

    for id in graph.infos.indices where graph.infos[id].role == .input { settle(id, from: -1) }
    for (moment, operation) in zip(moments, graph.operations) {
      let operands = operation.operands
      for node in operands.writes.compactMap(\.self) where tenantOf[node.id] == nil {
        switch graph[node].role {
        case .intermediate, .result: break
        case .input, .parameter, .gradient, .state: continue
        }
        let heirOf = operands.inPlace[node]?.compactMap(\.self).first { input in
          graph[input].role == .intermediate && lastUse[input.id] == moment
            && graph.shape(input).count == graph.shape(node).count && graph[input].dtype == graph[node].dtype
            // Not where it is another operand too, which may be read later.
            && operands.reads.count { $0 == input } == 1
        }
        if let heirOf, let tenant = tenantOf[heirOf.id] {
          tenants[tenant].nodes.append(node.id)
          tenants[tenant].life = tenants[tenant].life.lowerBound...max(moment, lastUse[node.id])
          tenantOf[node.id] = tenant
        } else {
          settle(node.id, from: moment)
        }
      }
    }
    return tenants
  }
}
