/// The weights of a Hugging Face folder: `model.safetensors`, or the shards that `model.safetensors.index.json` names.
package final class SafetensorsFolder: TensorSource {
  package let path: String
  package let tensors: [TensorInfo]
  private let files: [SafetensorsFile]
  /// Where each tensor is: the position of its file.
  private let owners: [String: Int]

  package static let fileName = "model.safetensors"
  package static let indexName = "model.safetensors.index.json"

  package init(path: String) throws(FormatError) {
    self.path = path
    let single = Path.join(path, Self.fileName)
    let index = Path.join(path, Self.indexName)
    if FileSystem.exists(single) {
      let file = try SafetensorsFile(path: single)
      files = [file]
      tensors = file.tensors
      owners = Dictionary(uniqueKeysWithValues: file.tensors.map { ($0.name, 0) })
      return
    }
    guard FileSystem.exists(index) else {
      guard FileSystem.exists(path) else { throw .missing(path: path) }
      throw .content(path: path, problem: "expected \(Self.fileName) or \(Self.indexName), found neither")
    }

    guard let map = try FileSystem.readJSON(index)["weight_map"]?.object else {
      throw .content(path: index, problem: "expected an object 'weight_map'")
    }
    var files: [SafetensorsFile] = []
    var positions: [String: Int] = [:]
    var tensors: [TensorInfo] = []
    var owners: [String: Int] = [:]
    for (tensor, value) in map {
      guard let name = value.string, !name.isEmpty, !name.contains("/"), name != "..", name != "." else {
        throw .content(path: index, problem: "'\(tensor)': expected a file name, found \(value.serialized())")
      }
      let position: Int
      if let known = positions[name] {
        position = known
      } else {
        position = files.count
        positions[name] = position
        files.append(try SafetensorsFile(path: Path.join(path, name)))
      }
      tensors.append(try files[position].require(tensor))
      owners[tensor] = position
    }
    self.files = files
    self.tensors = tensors
    self.owners = owners
  }

  /// The names of its files, with the index if there is one.
  package var fileNames: [String] {
    let names = files.map { Path.name($0.path) }
    return names == [Self.fileName] ? names : [Self.indexName] + names
  }

  package func info(_ name: String) -> TensorInfo? { owners[name].flatMap { files[$0].info(name) } }

  package func read(
    _ name: String, from start: Int, into buffer: UnsafeMutableBufferPointer<Float>
  ) throws(FormatError) {
    guard let owner = owners[name] else { throw .safetensors(path: path, .noTensor(name)) }
    try files[owner].read(name, from: start, into: buffer)
  }
}
