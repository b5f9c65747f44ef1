#include "source.h"

#include <cctype>
#include <vector>

namespace driver {

namespace {

struct Kernel {
  std::string name, most_threads;
};

class Translator {
 public:
  explicit Translator(const std::string &text) : text(text) {}

  std::string run() {
    while (at < text.size()) step();
    for (const Kernel &kernel : kernels) out += registration(kernel);
    return out + "\n";
  }

 private:
  const std::string &text;
  size_t at = 0;
  std::string out;
  std::vector<Kernel> kernels;
  // Where we are: the file and line of the last marker and the lines since, the open braces that are no namespace's,
  // and what stands before a brace.
  std::string file;
  long line = 1;
  std::vector<bool> is_code;
  std::string statement;

  /// Defines what kernel_interface.h calls mf_cpu_kernel_NAME. Macros have been expanded already.
  static std::string registration(const Kernel &kernel) {
    const std::string &name = kernel.name, sizes = "decltype(mf_cpu_sizes_of(" + name + "))";
    return "\nextern \"C\" __attribute__((visibility(\"default\"))) const mf_cpu_kernel mf_cpu_kernel_" + name +
           " = {[](void *const *arguments) { mf_cpu_call(" + name + ", arguments); }, " + sizes + "::sizes, " + sizes +
           "::count, (unsigned)(" + kernel.most_threads + ")};";
  }

  static bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

  bool starts(size_t from, const char *word) const { return text.compare(from, std::string(word).size(), word) == 0; }

  size_t skip_space(size_t from) const {
    while (from < text.size() && std::isspace(static_cast<unsigned char>(text[from]))) from++;
    return from;
  }

  std::string word_at(size_t from) const {
    size_t end = from;
    while (end < text.size() && is_word(text[end])) end++;
    return text.substr(from, end - from);
  }

  /// Past the parenthesis that closes the one at `open`.
  size_t past_parentheses(size_t open) const {
    int depth = 0;
    for (size_t i = open; i < text.size(); i++) {
      if (text[i] == '(') depth++;
      if (text[i] == ')' && --depth == 0) return i + 1;
    }
    return text.size();
  }

  void copy(size_t end) {
    for (; at < end; at++) {
      if (text[at] == '\n') line++;
      out += text[at];
    }
  }

  void step() {
    const char c = text[at];
    if (c == '#' && (at == 0 || text[at - 1] == '\n')) {
      marker();
    } else if (c == '"' || c == '\'') {
      size_t end = at + 1;
      while (end < text.size() && text[end] != c) end += text[end] == '\\' ? 2 : 1;
      statement += "\"\"";
      copy(std::min(end + 1, text.size()));
    } else if (is_word(c)) {
      word(word_at(at));
    } else {
      if (c == '{') {
        const bool is_namespace = statement.find("namespace") != std::string::npos ||
                                  (statement.find("extern") != std::string::npos && statement.find('(') == std::string::npos);
        is_code.push_back(!is_namespace);
      }
      if (c == '}' && !is_code.empty()) is_code.pop_back();
      if (c == '{' || c == '}' || c == ';') statement.clear();
      else statement += c;
      copy(at + 1);
    }
  }

  /// # LINE "FILE" …
  void marker() {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string mark = text.substr(at, end - at);
    copy(std::min(end + 1, text.size()));
    if (mark.size() < 3 || mark[1] != ' ' || !std::isdigit(static_cast<unsigned char>(mark[2]))) return;
    line = std::stol(mark.substr(2));
    const size_t quote = mark.find('"');
    if (quote != std::string::npos) file = mark.substr(quote, mark.find('"', quote + 1) - quote + 1);
  }

  void word(const std::string &word) {
    if (word == "extern" && starts(skip_space(at + 6), "__shared__") && dynamic_shared()) return;
    if (word == "__global__") kernel();
    statement += word;
    copy(at + word.size());
  }

  /// extern __shared__ [attributes] TYPE NAME[];
  bool dynamic_shared() {
    const size_t end = text.find(';', at);
    if (end == std::string::npos) return false;
    std::string declaration = text.substr(at, end - at);
    const size_t bracket = declaration.find('[');
    // Attributes and alignment stand before the type: all dynamic shared memory is aligned enough.
    size_t type = declaration.find("__shared__") + 10;
    for (bool again = true; again;) {
      again = false;
      while (type < declaration.size() && std::isspace(static_cast<unsigned char>(declaration[type]))) type++;
      for (const char *prefix : {"__attribute__", "alignas"}) {
        if (declaration.compare(type, std::string(prefix).size(), prefix) != 0) continue;
        type = past_parentheses(at + declaration.find('(', type)) - at;
        again = true;
      }
    }
    // The last bracket pair without a size: `unsigned char room[]`.
    const size_t last = declaration.rfind('[');
    if (bracket == std::string::npos || last != bracket) return false;
    size_t name_end = bracket;
    while (name_end > type && !is_word(declaration[name_end - 1])) name_end--;
    size_t name = name_end;
    while (name > type && is_word(declaration[name - 1])) name--;
    if (name <= type) return false;
    const std::string T = declaration.substr(type, name - type), N = declaration.substr(name, name_end - name);

    const long first_line = line;
    const size_t length = out.size();
    copy(end + 1);
    out.resize(length);
    bool is_in_function = false;
    for (bool code : is_code) is_in_function = is_in_function || code;
    if (is_in_function) {
      out += T + "*const " + N + " = (" + T + "*)mf_cpu_dynamic_shared();" + std::string(size_t(line - first_line), '\n');
    } else {
      // A variable of the file would be one for all threads: each use asks anew.
      out += "\n#undef " + N + "\n#define " + N + " ((" + T + "*)mf_cpu_dynamic_shared())\n# " + std::to_string(line) +
             " " + (file.empty() ? "\"\"" : file) + "\n";
    }
    statement.clear();
    return true;
  }

  /// __global__ [void | __launch_bounds__(…) | attributes]… NAME(
  void kernel() {
    if (statement.find("template") != std::string::npos) return;  // has no name that a host could ask for
    Kernel kernel{"", "0"};
    for (size_t i = at + 10; i < text.size();) {
      i = skip_space(i);
      if (text[i] == '#') {  // a marker
        i = std::min(text.find('\n', i), text.size());
        continue;
      }
      const std::string word = word_at(i);
      if (word.empty()) return;
      const size_t next = skip_space(i + word.size());
      const bool has_parentheses = next < text.size() && text[next] == '(';
      if (word == "__launch_bounds__" && has_parentheses) {
        const size_t end = past_parentheses(next);
        std::string inside = text.substr(next + 1, end - next - 2);
        int depth = 0;
        for (size_t k = 0; k < inside.size(); k++) {
          if (inside[k] == '(') depth++;
          if (inside[k] == ')') depth--;
          if (inside[k] == ',' && depth == 0) inside.resize(k);
        }
        for (char &c : inside)
          if (c == '\n') c = ' ';
        kernel.most_threads = inside;
        i = end;
      } else if (word == "__attribute__" && has_parentheses) {
        i = past_parentheses(next);
      } else if (has_parentheses) {
        kernel.name = word;
        break;
      } else {
        i = next;
      }
    }
    // A declaration before the definition names it twice.
    for (const Kernel &known : kernels)
      if (known.name == kernel.name) return;
    kernels.push_back(kernel);
  }
};

}  // namespace

std::string translate(const std::string &preprocessed) { return Translator(preprocessed).run(); }

}  // namespace driver
