import Formats
import Testing

@Suite("JSON")
struct JSONTests {
  @Test("reads every kind of value and keeps the order of keys")
  func readsValues() throws {
    let json = try JSON.parse(#" {"z": [1, -2.5, true, false, null], "a": {"é": "x"}, "": "" } "#)
    #expect(json.object?.keys == ["z", "a", ""])
    #expect(json["z"] == [1, -2.5, true, false, nil])
    #expect(json["a"]?["é"]?.string == "x")
    #expect(json["z"]?[0]?.int == 1)
    #expect(json["z"]?[0]?.double == 1)
    #expect(json["z"]?[4]?.isNull == true)
    #expect(json["z"]?[5] == nil)
    #expect(json["missing"] == nil)
  }

  @Test("keeps 64-bit integers exact and makes floats of all other numbers")
  func readsNumbers() throws {
    #expect(try JSON.parse("9223372036854775807") == .integer(.max))
    #expect(try JSON.parse("-9223372036854775808") == .integer(.min))
    #expect(try JSON.parse("9223372036854775808") == .number(9_223_372_036_854_775_808))
    #expect(try JSON.parse("123456789012345678901234567890") == .number(1.2345678901234568e29))
    #expect(try JSON.parse("1e3") == .number(1000))
    #expect(try JSON.parse("1E+3").int == 1000)
    #expect(try JSON.parse("0.1") == .number(0.1))
    #expect(try JSON.parse("1e-7") == .number(1e-7))
    #expect(try JSON.parse("5e-324") == .number(.leastNonzeroMagnitude))
    #expect(try JSON.parse("1.7976931348623157e308") == .number(.greatestFiniteMagnitude))
    #expect(try JSON.parse("1e-400") == .number(0))
    #expect(try JSON.parse("0e999999999999") == .number(0))
    #expect(try JSON.parse("-0").double?.sign == .minus)
    #expect(try JSON.parse("2.5").int == nil)
  }

  @Test("reads every escape, also surrogate pairs")
  func readsEscapes() throws {
    #expect(try JSON.parse(#""\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00x""#) == "\"\\/\u{8}\u{c}\n\r\té😀x")
    #expect(try JSON.parse(#""\u0000""#) == "\0")
  }

  @Test(
    "refuses what RFC 8259 does not allow, and says where",
    arguments: [
      ("", 0), (" ", 1), ("{", 1), ("[1", 2), ("[1,", 3), ("[1,]", 3), ("[1 2]", 3), ("{\"a\"}", 4), ("{\"a\":}", 5),
      ("{\"a\":1,}", 7), ("{a:1}", 1), ("{\"a\":1 \"b\":2}", 7), ("01", 1), ("-", 1), ("-x", 1), ("+1", 0),
      (".5", 0), ("1.", 2), ("1.e3", 2), ("1e", 2), ("1e+", 3), ("1e999", 0), ("-1e400", 0), ("0x1", 1), ("NaN", 0),
      ("Infinity", 0), ("tru", 0), ("nul", 0), ("truex", 4), ("1 2", 2), ("[] ]", 3), ("'a'", 0), ("\"a", 2),
      ("\"\\x\"", 1), ("\"\\u12G4\"", 1), ("\"\\u12", 1), ("\"\\", 1), ("\"\\uD800\"", 1), ("\"\\uDC00\"", 1),
      ("\"\\uD800\\u0041\"", 1), ("\"\\uD800\\n\"", 1), ("\"a\tb\"", 2), ("\"a\nb\"", 2), ("\u{FEFF}1", 0),
      ("[1]// x", 3), ("{\"a\":1,\"a\":2}", 7), ("\u{A0}1", 0), ("\u{c}1", 0),
    ])
  func refuses(text: String, offset: Int) {
    let error = #expect(throws: JSONError.self) { try JSON.parse(text) }
    #expect(error?.offset == offset, "\(text)")
  }

  @Test("replaces unpaired surrogates where it is asked to, each by one character")
  func replacesSurrogates() throws {
    let text = #"["\ud800", "a\uDC00b", "\ud83d\ud83d\ude00", "\ud800\u0041\n", "\ud800\ud800"]"#
    let (json, replaced) = try JSON.parseReplacingSurrogates(Array(text.utf8))
    #expect(json == ["\u{FFFD}", "a\u{FFFD}b", "\u{FFFD}😀", "\u{FFFD}A\n", "\u{FFFD}\u{FFFD}"])
    #expect(replaced == 6)
    #expect(throws: JSONError.self) { try JSON.parseReplacingSurrogates(Array(#""\ud800\u00g0""#.utf8)) }
  }

  @Test("names the line, the byte and what was expected")
  func describesErrors() {
    let error = #expect(throws: JSONError.self) { try JSON.parse("{\n  \"a\": 1,\n  \"b\" 2\n}") }
    #expect(error == JSONError(.expected("':' after a key", found: "'2'"), offset: 18, line: 3))
    #expect(error?.description == "JSON: line 3, byte 18: expected ':' after a key, found '2'")
  }

  @Test(
    "refuses invalid UTF-8 at the offending byte, also beside escapes",
    arguments: [
      ([0x22, 0x61, 0xFF, 0x22], 2), ([0x22, 0xC3, 0x22], 1), ([0x22, 0xC0, 0x80, 0x22], 1),
      ([0x22, 0xED, 0xA0, 0x80, 0x22], 1), ([0x22, 0x5C, 0x6E, 0xE2, 0x82, 0x22], 3),
      ([0x22, 0x61, 0x80, 0x5C, 0x6E, 0x22], 2), ([0x22, 0xF5, 0x80, 0x80, 0x80, 0x22], 1),
    ] as [([UInt8], Int)])
  func refusesInvalidUTF8(bytes: [UInt8], offset: Int) {
    let error = #expect(throws: JSONError.self) { try JSON.parse(bytes) }
    #expect(error == JSONError(.invalidUTF8, offset: offset, line: 1))
  }

  @Test("finds a repeated key among many, and tells keys apart that Unicode calls equivalent")
  func duplicateKeys() throws {
    var members = (0..<2000).map { "\"key\($0)\":\($0)" }
    let json = try JSON.parse("{\(members.joined(separator: ","))}")
    for number in 0..<2000 { #expect(json["key\(number)"]?.int == number) }
    #expect(json["key2000"] == nil)

    members.append("\"key7\":0")
    let error = #expect(throws: JSONError.self) { try JSON.parse("{\(members.joined(separator: ","))}") }
    #expect(error?.problem == .duplicateKey("key7"))

    let both = try JSON.parse("{\"\u{e9}\":1,\"e\u{301}\":2}")
    #expect(both["\u{e9}"]?.int == 1)
    #expect(both["e\u{301}"]?.int == 2)
  }

  @Test("allows 512 nested brackets and refuses a hundred thousand")
  func limitsDepth() throws {
    let deep = String(repeating: "[", count: 512) + String(repeating: "]", count: 512)
    _ = try JSON.parse(deep)
    for hostile in ["[", "{\"a\":", "[{\"a\":"] {
      let error = #expect(throws: JSONError.self) { try JSON.parse(String(repeating: hostile, count: 100_000)) }
      #expect(error?.problem == .tooDeep(limit: 512))
    }
    // The limit is on depth, not on the number of brackets.
    _ = try JSON.parse("[" + Array(repeating: "[{}]", count: 1000).joined(separator: ",") + "]")
  }

  @Test("what is written reads back as the same value, on one line or indented")
  func roundTrips() throws {
    let value: JSON = [
      "numbers": [
        0, -1, .integer(.max), .integer(.min), 0.1, 3.0, -0.0, 1e-7, 1e300, .number(.leastNonzeroMagnitude),
        .number(.greatestFiniteMagnitude), 1e16,
      ],
      "text": "\u{0}\u{1f}\"\\/\u{8}\u{c}\n\r\t\u{7f}\u{2028}\u{2029}é😀\u{10FFFF}",
      "é\"": [:], "empty": [], "nested": [["a": nil, "b": true], false],
    ]
    #expect(try JSON.parse(value.serialized()) == value)
    #expect(try JSON.parse(value.serialized(pretty: true)) == value)
  }

  @Test("random doubles keep their bits through text")
  func doublesRoundTrip() throws {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      let value = Double(bitPattern: generator.next())
      guard value.isFinite else { continue }
      let again = try JSON.parse(JSON.number(value).serialized()).double
      #expect(again?.bitPattern == value.bitPattern)
      let fixed = Double(Int.random(in: -1_000_000...1_000_000)) / 1000
      #expect(try JSON.parse(JSON.number(fixed).serialized()).double == fixed)
    }
  }

  @Test("writes NaN and infinity, for which JSON has no word, as null")
  func writesNonFinite() {
    #expect(JSON.array([.number(.nan), .number(.infinity)]).serialized() == "[null,null]")
  }

  @Test("indents by two spaces and leaves empty brackets closed")
  func prettyText() {
    let value: JSON = ["a": [1, [:]], "b": []]
    #expect(value.serialized() == #"{"a":[1,{}],"b":[]}"#)
    #expect(value.serialized(pretty: true) == "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}")
  }

  @Test("an object keeps a key's place when its value changes and finds the others after a removal")
  func editsObjects() {
    var object = JSONObject()
    for number in 0..<100 { object["\(number)"] = .integer(Int64(number)) }
    object["5"] = "five"
    #expect(object.keys[5] == "5")
    object["7"] = nil
    #expect(object["7"] == nil)
    #expect(object.count == 99)
    #expect(object["8"]?.int == 8 && object["99"]?.int == 99)
    #expect(object.insert("8", nil) == false)
    #expect(object["8"]?.int == 8)
  }

  @Test("objects are equal whatever the order of their members")
  func comparesObjects() {
    let a: JSON = ["x": 1, "y": [2]]
    let b: JSON = ["y": [2], "x": 1]
    #expect(a == b)
    #expect(a != ["x": 1])
    #expect(JSON.string("\u{e9}") != JSON.string("e\u{301}"))
  }

  @Test("a text cut anywhere, or with any byte changed, gives a value or an error, never a crash")
  func survivesDamage() throws {
    let text = Array(#"{"a":[1,2.5e3,"é\u00e9\uD83D\uDE00"],"b":{"c":null,"d":[true,false]}}"#.utf8)
    for length in 0..<text.count {
      #expect(throws: JSONError.self) { try JSON.parse(text[..<length]) }
    }
    for position in text.indices {
      for byte in UInt8.min...UInt8.max {
        var damaged = text
        damaged[position] = byte
        _ = try? JSON.parse(damaged)
      }
    }
  }
}
