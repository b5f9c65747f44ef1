import Corpus
import TestSupport
import Testing
import Tokenization

@Suite("Task files")
struct TaskFileTests {
  private func read(_ text: String, _ kind: TaskKind, name: String = "data.jsonl") throws -> TaskFile {
    let folder = try TemporaryFolder()
    return try TaskFile.read(path: folder.write(text, to: name), kind: kind)
  }

  private func problem(_ text: String, _ kind: TaskKind, name: String = "data.jsonl") throws -> String {
    let folder = try TemporaryFolder()
    let path = try folder.write(text, to: name)
    let error = try #require(thrownError { _ = try TaskFile.read(path: path, kind: kind) } as? CorpusError)
    #expect(error.exitCode == 65)
    let text = error.description
    #expect(text.hasPrefix(path))
    return String(text.dropFirst(path.count))
  }

  @Test("each kind has its fields")
  func kinds() throws {
    let cases: [(TaskKind, String, TaskExample)] = [
      (.classify, #"{"text":"很好","label":"好"}"#, .classification(text: "很好", label: "好")),
      (.classify, #"{"text":"","label":1}"#, .classification(text: "", label: "1")),
      (
        .qa, #"{"question":"q","context":"c","answer":["x","y"]}"#,
        .questionAnswer(question: "q", context: "c", answers: ["x", "y"])
      ),
      (.qa, #"{"question":"q","answer":"x"}"#, .questionAnswer(question: "q", context: "", answers: ["x"])),
      (.summarize, #"{"document":"d","summary":"s"}"#, .summarization(document: "d", summary: "s")),
      (
        .chat, #"{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"ho"}]}"#,
        .chat([ChatMessage(role: "user", content: "hi"), ChatMessage(role: "assistant", content: "ho")])
      ),
      (.similarity, #"{"a":"x","b":"y","score":0.5}"#, .similarity(a: "x", b: "y", score: 0.5)),
      (.prompt, #"{"prompt":"p","reference":"r"}"#, .prompt(prompt: "p", references: ["r"])),
      (
        .choice, #"{"prompt":"p","choices":["a","b"],"answer":1}"#,
        .choice(prompt: "p", choices: ["a", "b"], answer: 1)
      ),
      (.predictions, #"{"prediction":"","reference":["r"]}"#, .prediction(prediction: "", references: ["r"])),
    ]
    for (kind, line, expected) in cases { #expect(try read(line, kind).examples == [expected]) }
  }

  @Test("blank lines and examples without an answer are skipped and counted; lines keep their numbers")
  func skips() throws {
    let text =
      "\u{FEFF}\r\n{\"text\":\"a\",\"label\":\"x\"}\r\n \r\n"
      + "{\"text\":\"b\",\"label\":\"\"}\r\n{\"text\":\"c\",\"label\":\"y\"}"
    let file = try read(text, .classify)
    #expect(file.entries.map(\.line) == [2, 5])
    #expect(file.blankLines == 2)
    #expect(file.withoutAnswer == 1)
  }

  @Test("a table's fields may be quoted and hold commas, quotes and line ends")
  func csv() throws {
    let text = "\u{FEFF}label,text,other\r\npos,\"a, \"\"b\"\"\nc\",1\r\n\r\nneg,,2\r\n"
    let file = try read(text, .classify, name: "data.csv")
    #expect(
      file.examples == [
        .classification(text: "a, \"b\"\nc", label: "pos"), .classification(text: "", label: "neg"),
      ])
    #expect(file.entries.map(\.line) == [2, 5])
    let scores = try read("a,b,score\nx,y,0.25", .similarity, name: "s.CSV")
    #expect(scores.examples == [.similarity(a: "x", b: "y", score: 0.25)])
  }

  @Test("what doesn't fit names file and line, what was found and what is expected")
  func errors() throws {
    #expect(try problem("{\"text\":\"a\",\"label\":\"x\"}\n{\"text\":", .classify).hasPrefix(", line 2: isn't JSON"))
    #expect(
      try problem(#"{"text":"a"}"#, .classify)
        == ", line 1: has no field \"label\": expected text and label, found text")
    #expect(try problem("[1]", .qa).contains("line 1: expected an object with question and answer"))
    #expect(try problem(#"{"text":"a","label":[]}"#, .classify).contains("expected a string, found an array"))
    #expect(try problem("", .classify).contains("has no examples"))
    #expect(try problem("\n\n", .classify).contains("only 2 that are blank"))
    #expect(try problem("x", .classify, name: "data.txt").contains("expected a .jsonl or .csv file"))
    #expect(try problem("text,label\n\"a,b\n", .classify, name: "a.csv").contains("line 2: a quoted field is never"))
    #expect(try problem("text,label\na\n", .classify, name: "a.csv").contains("line 2: expected 2 fields"))
    #expect(try problem("text,label\na\"b,c\n", .classify, name: "a.csv").contains("line 2: a quote within a field"))
    #expect(try problem(#"{"messages":[{"role":"user"}]}"#, .chat).contains("line 1: message 1: expected"))
    #expect(try problem(#"{"prompt":"p","choices":["a"],"answer":1e300}"#, .choice).contains("from 0 to 0"))
  }

  @Test("a prompt ends where the answer begins")
  func prompts() {
    let qa = TaskPrompt(.questionAnswer(question: "Who?", context: "A text.", answers: ["I", "me"]))
    #expect(qa == TaskPrompt(prompt: "A text.\n\nQuestion: Who?\nAnswer:", answer: " I"))
    #expect(TaskPrompt.questionAnswer(question: "Who?") == "Question: Who?\nAnswer:")
    let summary = TaskPrompt(.summarization(document: "Long.", summary: "Short."))
    #expect(summary == TaskPrompt(prompt: "Long.\n\nSummary:", answer: " Short."))
  }
}
