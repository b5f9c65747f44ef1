/// Lines that stand on many pages and belong to none: notices, menus, invitations to share, to subscribe, to log in.
enum BoilerplateLines {
  /// Longer lines are sentences that only mention such things; in bytes.
  private static let longest = 160

  /// The text without such lines; nil where there are none.
  static func removed(from text: UnsafeRawBufferPointer, _ lines: DocumentLines) -> (text: [UInt8], count: Int)? {
    let dropped = lines.lines.indices.filter { index in
      let line = lines.lines[index]
      return !line.isEmpty && line.count <= longest && phrases.finds(in: UnsafeRawBufferPointer(rebasing: text[line]))
    }
    guard !dropped.isEmpty else { return nil }
    return (lines.without(dropped, of: text), dropped.count)
  }

  private static let phrases = PhraseFinder([
    "all rights reserved", "terms of use", "terms of service", "terms and conditions", "privacy policy",
    "cookie policy",
    "uses cookies", "use of cookies", "use cookies", "accept cookies", "enable javascript", "javascript is disabled",
    "subscribe to our newsletter", "sign up for our newsletter", "follow us on", "share on facebook",
    "share on twitter",
    "share this:", "skip to content", "skip to main content", "click here to", "back to top", "read more »",
    "powered by wordpress",
    "leave a comment", "leave a reply", "you must be logged in", "log in to reply", "page not found",
    "版权所有", "版權所有", "隐私政策", "隱私政策", "使用条款", "使用條款", "服务条款", "服務條款", "关注我们", "關注我們", "返回顶部",
    "返回頂部", "点击这里", "點擊這裡", "分享到", "上一篇", "下一篇", "icp备", "icp備", "公网安备", "请启用javascript",
  ])
}
