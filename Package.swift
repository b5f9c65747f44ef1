// swift-tools-version: 6.2
import PackageDescription

// Targets stand in data-flow order: each may import only what stands above it (ARCHITECTURE.md).

let swiftSettings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let serviceLifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: swiftSettings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: dependencies + ["TestSupport"], swiftSettings: swiftSettings)
}

let package = Package(
  name: "mayfly",
  products: [.executable(name: "mayfly", targets: ["mayfly"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    // Without its default traits: we have settings of our own and need only the essentials of Foundation.
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: [
    .target(
      name: "CKernels",
      // The kernels are the program's inner loops: they are optimised in debug builds too.
      cSettings: [.unsafeFlags(["-O3", "-std=c2x", "-Wall", "-Wextra", "-Werror", "-fno-math-errno"])]),
    .target(
      name: "CCUDA",
      // Embedded as text by embed.c, and compiled for the GPU at hand.
      exclude: ["kernels"],
      cSettings: [.unsafeFlags(["-std=c2x", "-Wall", "-Wextra", "-Werror"])]),
    .target(
      name: "CText",
      // As the kernels: an inner loop.
      cSettings: [.unsafeFlags(["-O3", "-std=c2x", "-Wall", "-Wextra", "-Werror"])]),
    .target(name: "CCompression", cSettings: [.unsafeFlags(["-std=c2x", "-Wall", "-Wextra", "-Werror"])]),
    module("Formats", ["CCompression", crypto]),
    module("Tokenization", ["Formats"]),
    module("Corpus", ["Tokenization", "Formats", "CText"]),
    module("Compute"),
    module("ComputeCPU", ["Compute", "CKernels"]),
    module("ComputeCUDA", ["Compute", "CCUDA", crypto]),
    module("Models", ["Compute", "Tokenization", "Formats"]),
    module("Generation", ["Models", "Compute", "Tokenization"]),
    module("Evaluation", ["Generation", "Models", "Compute", "Corpus", "Tokenization", "Formats"]),
    module("Training", ["Evaluation", "Generation", "Models", "Compute", "Corpus", "Tokenization", "Formats", yams]),
    module(
      "Serving",
      [
        "Training", "Evaluation", "Generation", "Models", "Compute", "Tokenization", "Formats", hummingbird,
        serviceLifecycle,
      ]),
    .target(name: "CArguments", cSettings: [.unsafeFlags(["-std=c2x", "-Wall", "-Wextra", "-Werror"])]),
    .executableTarget(
      name: "mayfly",
      dependencies: [
        "Serving", "Training", "Evaluation", "Generation", "Models", "ComputeCUDA", "ComputeCPU", "Compute", "Corpus",
        "Tokenization", "Formats", "CArguments", argumentParser,
      ],
      swiftSettings: swiftSettings),

    .target(name: "AllocationCounter", path: "Tests/AllocationCounter"),
    .target(
      name: "TestSupport", dependencies: ["Models", "Compute"], path: "Tests/TestSupport", swiftSettings: swiftSettings),
    // What Tests/Peers/test_encoder.py runs beside PyTorch's encoder.
    .executableTarget(
      name: "EncoderPeer", dependencies: ["Models", "ComputeCPU", "Compute", "Formats"], path: "Tests/EncoderPeer",
      swiftSettings: swiftSettings),
    // What the tests ask of the CUDA driver for tests, and gpu-check of a card.
    .target(
      name: "CUDAChecks", dependencies: ["TestSupport", "Training", "Models", "Compute"], path: "Tests/CUDAChecks",
      swiftSettings: swiftSettings),
    .executableTarget(
      name: "gpu-check",
      dependencies: ["CUDAChecks", "TestSupport", "Models", "ComputeCUDA", "ComputeCPU", "Compute", "Formats"],
      path: "Tests/GPUCheck", swiftSettings: swiftSettings),
    tests("FormatsTests", ["Formats"]),
    tests("TokenizationTests", ["Tokenization", "Formats"]),
    tests("CorpusTests", ["Corpus", "Tokenization", "Formats"]),
    tests("ComputeTests", ["Models", "Compute", "ComputeCPU", "CKernels"]),
    tests("ComputeCUDATests", ["CUDAChecks", "Models", "ComputeCUDA", "ComputeCPU", "Compute"]),
    tests("ModelsTests", ["Models", "Compute", "ComputeCPU", "Formats"]),
    tests("GenerationTests", ["Generation", "Models", "Compute", "ComputeCPU", "Tokenization", "Formats"]),
    tests(
      "EvaluationTests",
      ["Evaluation", "Generation", "Models", "Compute", "ComputeCPU", "Corpus", "Tokenization", "Formats"]),
    tests("ServingTests", ["Serving", "Generation", "Models", "Compute", "ComputeCPU", "Tokenization", "Formats"]),
    tests(
      "TrainingTests",
      [
        "Training", "Evaluation", "Models", "Compute", "ComputeCPU", "Corpus", "Tokenization", "Formats",
        "AllocationCounter",
      ]),
  ]
)
