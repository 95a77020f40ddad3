// The reader of the text format: a converter for another format need only print lines.
//
// Models:      all that a `.ctr` file can hold. What a text leaves out is inferred, as for foreign formats: VMAs of a process
//              that has no process line, threads that nobody creates, instruction gaps if none are given.
// Source:      traces/README.md, "The text format".
#include "sim/trace/trace_text.h"

#include <algorithm>

#include "sim/trace/trace_ctr.h"
#include "sim/trace/trace_foreign.h"
#include "sim/trace/trace_lines.h"
#include "sim/trace/trace_readers.h"

namespace collapsar {

namespace {

constexpr std::size_t kMostTextNotes = 1000;

// Decimal, or hexadecimal behind "0x".
std::optional<std::uint64_t> number_of(std::string_view word) {
  return word.starts_with("0x") ? hex_number(word) : decimal_number(word);
}

class TextReader : public ForeignReader {
 public:
  explicit TextReader(const std::string& file) : text_(file) {}
  Kind next(Item& item) override;
  void rewind() override {
    text_.rewind();
    info_ = {}, has_flags_ = has_dependence_ = false;
    resident_ranges_ = 0, pid_ = tid_ = 1;
  }
  void describe(TraceInfo& info) const override;

 private:
  [[noreturn]] void fail(const char* right) const { text_.fail(line_, right); }
  std::uint64_t number(std::string_view word, std::uint64_t most, const char* right) const;
  bool take_header(std::string_view word, std::string_view rest);
  void take_flags(std::string_view rest);
  void take_resident(std::string_view rest);
  void take_reference(std::size_t kind, std::string_view rest, Record& record);
  void take_event(TraceEvent::Op op, std::string_view rest, Item& item);
  std::string take_text(std::string_view rest) const;

  TextLines text_;
  std::string_view line_;
  TraceInfo info_;  // what the header says
  bool has_flags_ = false, has_dependence_ = false;
  std::size_t resident_ranges_ = 0;
  std::uint32_t pid_ = 1, tid_ = 1;
};

std::uint64_t TextReader::number(std::string_view word, std::uint64_t most, const char* right) const {
  const std::optional<std::uint64_t> value = number_of(word);
  if (!value || *value > most) fail(right);
  return *value;
}

std::string TextReader::take_text(std::string_view rest) const {
  if (rest.starts_with(' ')) rest.remove_prefix(1);
  std::optional<std::string> text = unescaped(rest);
  if (!text) fail("\\n, \\r or \\\\ is right behind a backslash");
  return std::move(*text);
}

ForeignReader::Kind TextReader::next(Item& item) {
  while (text_.next(line_)) {
    std::string_view rest = line_;
    const std::string_view word = take_word(rest);
    if (word.empty() || word[0] == '#') continue;
    if (word.size() == 1) {
      const std::size_t kind = kKindLetters.find(word[0]);
      if (kind == std::string_view::npos) fail("f, l, s, m, r or w is right");
      take_reference(kind, rest, item.record);
      return Kind::reference;
    }
    if (word == "by") {
      item.pid = static_cast<std::uint32_t>(number(take_word(rest), UINT32_MAX, "by PID TID is right"));
      item.tid = static_cast<std::uint32_t>(number(take_word(rest), UINT32_MAX, "by PID TID is right"));
      if (!take_word(rest).empty()) fail("by PID TID is right");
      pid_ = item.pid, tid_ = item.tid;
      return Kind::thread;
    }
    if (word == "at") {
      item.time_ns = static_cast<std::int64_t>(number(take_word(rest), INT64_MAX, "at NANOSECONDS is right"));
      if (!take_word(rest).empty()) fail("at NANOSECONDS is right");
      return Kind::time;
    }
    if (const std::optional<TraceEvent::Op> op = op_named(word)) {
      take_event(*op, rest, item);
      return Kind::event;
    }
    if (!take_header(word, rest)) fail("a reference (f l s m r w), at, by, an event, or a header line is right");
  }
  return Kind::end;
}

void TextReader::take_reference(std::size_t kind, std::string_view rest, Record& record) {
  constexpr const char* kRight = "KIND ADDRESS SIZE [INSTRUCTIONS [d]] is right; the size is 1 to 65535";
  record = {};
  record.kind = static_cast<RefKind>(kind);
  record.va = number(take_word(rest), UINT64_MAX, kRight);
  record.size = static_cast<std::uint16_t>(number(take_word(rest), UINT16_MAX, kRight));
  if (record.size == 0) fail(kRight);
  const std::string_view instructions = take_word(rest), dependence = take_word(rest);
  if (!instructions.empty()) record.instructions = static_cast<std::uint32_t>(number(instructions, UINT32_MAX, kRight));
  if (dependence == "d") record.flags = Record::kDependsOnLoad, has_dependence_ = true;
  else if (!dependence.empty()) fail(kRight);
  if (!take_word(rest).empty()) fail(kRight);
}

void TextReader::take_event(TraceEvent::Op op, std::string_view rest, Item& item) {
  constexpr const char* kRight = "EVENT KEY=NUMBER ... [name=TEXT] is right; traces/README.md has the keys";
  TraceEvent e;
  e.op = op, e.pid = pid_, e.tid = tid_;
  for (std::string_view from = rest, word = take_word(rest); !word.empty(); from = rest, word = take_word(rest)) {
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos) fail(kRight);
    const std::string_view key = word.substr(0, equals);
    if (key == "name") {
      e.name = take_text(from.substr(from.find('=') + 1));
      if (e.name.size() > kEventText) fail("a name of at most 64 KiB is right");
      break;
    }
    bool is_known = false;
    for_each_field(e, [&](std::string_view name, auto& field) {
      using Field = std::remove_reference_t<decltype(field)>;
      if (name != key) return;
      is_known = true;
      field = static_cast<Field>(number(word.substr(equals + 1), std::numeric_limits<Field>::max(), kRight));
    });
    if (!is_known) fail(kRight);
  }
  item.event = std::move(e);
}

bool TextReader::take_header(std::string_view word, std::string_view rest) {
  if (word == "program") return info_.program = take_text(rest), true;
  if (word == "command") return info_.command = take_text(rest), true;
  if (word == "flags") return take_flags(rest), true;
  if (word == "resident") return take_resident(rest), true;
  if (word == "note") {
    if (info_.notes.size() == kMostTextNotes) fail("at most 1000 notes is right");
    return info_.notes.push_back(take_text(rest)), true;
  }
  return line_ == kTextFirstLine;
}

void TextReader::take_flags(std::string_view rest) {
  has_flags_ = true;
  for (const auto& [name, member] : kTextFlags) info_.*member = false;
  for (std::string_view word = take_word(rest); !word.empty(); word = take_word(rest)) {
    const auto* flag =
        std::find_if(kTextFlags.begin(), kTextFlags.end(), [&](const auto& entry) { return entry.first == word; });
    if (flag != kTextFlags.end()) info_.*(flag->second) = true;
    else if (word == "resident") info_.resident.emplace();
    else fail("flags out of instructions dependence stamps mappings complete resident is right");
  }
}

void TextReader::take_resident(std::string_view rest) {
  constexpr const char* kRight =
      "resident PID ADDRESS LENGTH, behind `flags ... resident`, in ascending order, is right";
  const auto pid = static_cast<std::uint32_t>(number(take_word(rest), UINT32_MAX, kRight));
  const std::uint64_t start = number(take_word(rest), UINT64_MAX, kRight);
  const std::uint64_t length = number(take_word(rest), UINT64_MAX - start, kRight);
  if (!info_.resident || start % kPageBytes != 0 || length % kPageBytes != 0 || length == 0) fail(kRight);
  if (++resident_ranges_ > kCtrResidentRanges) fail("at most 8388608 resident ranges is right");
  std::vector<VirtRange>& ranges = (*info_.resident)[pid];
  if (info_.resident->size() > kCtrResidentProcesses) fail("resident ranges of at most 65536 processes is right");
  if (!ranges.empty() && start < ranges.back().end.value) fail(kRight);
  ranges.push_back({VirtAddr{start}, VirtAddr{start + length}});
}

void TextReader::describe(TraceInfo& info) const {
  info.program = info_.program, info.command = info_.command;
  info.notes.insert(info.notes.begin(), info_.notes.begin(), info_.notes.end());
  info.has_dependence = has_dependence_;
  if (!has_flags_) return;
  const bool has_mappings = info.has_mappings;
  for (const auto& [name, member] : kTextFlags) info.*member = info_.*member;
  info.has_mappings &= has_mappings;
  info.resident = info_.resident;
}

}  // namespace

bool is_text(const std::string& file) {
  const std::vector<std::string> lines = first_lines(file, 1);
  return !lines.empty() && lines.front() == kTextFirstLine;
}

std::unique_ptr<TraceSource> open_text(const std::string& file) {
  return make_foreign_source(std::make_unique<TextReader>(file), named_info(file, "text"), {file});
}

}  // namespace collapsar
