/// A place in the GPU's memory, in bytes.
struct Address: Hashable {
  let value: UInt64

  static func + (address: Address, bytes: Int) -> Address {
    Address(value: address.value + UInt64(bytes))
  }

  /// The largest power of two, at most 256, that divides it.
  var alignment: Int {
    value == 0 ? 256 : 1 << min(8, value.trailingZeroBitCount)
  }
}

/// What kernels take, as the eight bytes from which the driver reads it.
protocol KernelArgument {
  var word: UInt64 { get }
}

/// `int64_t`.
extension Int: KernelArgument {
  var word: UInt64 { UInt64(bitPattern: Int64(self)) }
}

extension Int32: KernelArgument {
  var word: UInt64 { UInt64(UInt32(bitPattern: self)) }
}

extension UInt32: KernelArgument {
  var word: UInt64 { UInt64(self) }
}

extension Float: KernelArgument {
  var word: UInt64 { UInt64(bitPattern) }
}

/// `int`.
extension Bool: KernelArgument {
  var word: UInt64 { self ? 1 : 0 }
}

extension Address: KernelArgument {
  var word: UInt64 { value }
}

/// Nil is NULL.
extension Address?: KernelArgument {
  var word: UInt64 { self?.value ?? 0 }
}
