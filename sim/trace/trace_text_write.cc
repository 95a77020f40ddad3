// The writer of the text format.
#include <fmt/format.h>

#include <algorithm>

#include "sim/core/error.h"
#include "sim/trace/trace_output.h"
#include "sim/trace/trace_readers.h"
#include "sim/trace/trace_text.h"

namespace collapsar {

namespace {

using Op = TraceEvent::Op;
constexpr std::array<std::pair<std::string_view, Op>, 21> kOps{{
    {"process", Op::process},
    {"vma", Op::vma},
    {"stack_room", Op::stack_room},
    {"heap_room", Op::heap_room},
    {"mmap", Op::mmap},
    {"munmap", Op::munmap},
    {"mprotect", Op::mprotect},
    {"madvise", Op::madvise},
    {"mlock", Op::mlock},
    {"munlock", Op::munlock},
    {"mremap", Op::mremap},
    {"brk", Op::brk},
    {"thp_disable", Op::thp_disable},
    {"fork", Op::fork},
    {"thread", Op::thread},
    {"exec", Op::exec},
    {"thread_exit", Op::thread_exit},
    {"exit", Op::exit},
    {"idle", Op::idle},
    {"clear_refs", Op::clear_refs},
    {"truncated", Op::truncated},
}};

class TextWriter : public TraceSink {
 public:
  TextWriter(const std::string& file, const TraceInfo& info) : file_(file) { put_header(info); }
  void put(const TraceItem& item) override {
    if (const auto* run = std::get_if<TraceRun>(&item)) put_run(*run);
    else put_event(std::get<TraceEvent>(item));
  }
  void finish() override { flush(), file_.commit(); }

 private:
  template <class... T>
  void line(fmt::format_string<T...> format, T&&... arguments) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<T>(arguments)...);
    text_.push_back('\n');
    if (text_.size() >= kBuffer) flush();
  }
  void flush() {
    file_.write({reinterpret_cast<const std::uint8_t*>(text_.data()), text_.size()});
    text_.clear();
  }
  void put_header(const TraceInfo& info);
  void put_run(const TraceRun& run);
  void put_event(const TraceEvent& event);
  void put_thread(std::uint32_t pid, std::uint32_t tid);
  void put_time(std::int64_t ns) { line("at {}", ns), now_ns_ = ns, is_open_ = false; }

  static constexpr std::size_t kBuffer = 1u << 20;
  OutputFile file_;
  fmt::memory_buffer text_;
  std::uint32_t pid_ = 1, tid_ = 1;
  std::int64_t now_ns_ = 0;
  bool is_open_ = false;  // references stand behind the last time
};

void TextWriter::put_header(const TraceInfo& info) {
  line("{}", kTextFirstLine);
  if (!info.program.empty()) line("program {}", escaped(info.program));
  if (!info.command.empty()) line("command {}", escaped(info.command));
  for (const std::string& note : info.notes) line("note {}", escaped(note));
  std::string flags;
  for (const auto& [name, member] : kTextFlags)
    if (info.*member) flags += fmt::format(" {}", name);
  line("flags{}{}", flags, info.resident ? " resident" : "");
  if (!info.resident) return;
  for (const auto& [pid, ranges] : *info.resident)
    for (const VirtRange& r : ranges) line("resident {} {:#x} {:#x}", pid, r.start.value, r.bytes());
}

void TextWriter::put_thread(std::uint32_t pid, std::uint32_t tid) {
  if (pid == pid_ && tid == tid_) return;
  line("by {} {}", pid, tid);
  pid_ = pid, tid_ = tid;
}

// A time closes the references before it: those between two times lie evenly from one to the other.
void TextWriter::put_run(const TraceRun& run) {
  put_thread(run.pid, run.tid);
  const bool has_span = run.end_ns != run.begin_ns;
  if (run.begin_ns != now_ns_ || (has_span && is_open_)) put_time(run.begin_ns);
  for (const Record& r : run.records) {
    SIM_ASSERT(r.kind <= RefKind::kernel_write, "a reference of kind {}", static_cast<unsigned>(r.kind));
    const char letter = kKindLetters[static_cast<std::size_t>(r.kind)];
    if (r.flags & Record::kDependsOnLoad) line("{} {:#x} {} {} d", letter, r.va, r.size, r.instructions);
    else if (r.instructions > 0) line("{} {:#x} {} {}", letter, r.va, r.size, r.instructions);
    else line("{} {:#x} {}", letter, r.va, r.size);
  }
  is_open_ = true;
  if (has_span) put_time(run.end_ns);
}

void TextWriter::put_event(const TraceEvent& event) {
  put_thread(event.pid, event.tid);
  if (event.stamp_ns != now_ns_) put_time(event.stamp_ns);
  std::string fields;
  for_each_field(event, [&](const char* key, std::uint64_t number) {
    if (number != 0) fields += fmt::format(" {}={:#x}", key, number);
  });
  if (!event.name.empty()) fields += " name=" + escaped(event.name);
  line("{}{}", name_of(event.op), fields);
}

}  // namespace

std::string_view name_of(TraceEvent::Op op) {
  const auto found = std::find_if(kOps.begin(), kOps.end(), [&](const auto& entry) { return entry.second == op; });
  SIM_ASSERT(found != kOps.end(), "an event of kind {}", static_cast<unsigned>(op));
  return found->first;
}

std::optional<TraceEvent::Op> op_named(std::string_view name) {
  const auto found = std::find_if(kOps.begin(), kOps.end(), [&](const auto& entry) { return entry.first == name; });
  return found == kOps.end() ? std::nullopt : std::optional(found->second);
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') out += "\\n";
    else if (c == '\r') out += "\\r";
    else if (c == '\\') out += "\\\\";
    else out += c;
  }
  return out;
}

std::optional<std::string> unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    const char c = ++i < text.size() ? text[i] : '\0';
    if (c != 'n' && c != 'r' && c != '\\') return std::nullopt;
    out += c == 'n' ? '\n' : c == 'r' ? '\r' : '\\';
  }
  return out;
}

std::unique_ptr<TraceSink> create_text(const std::string& file, const TraceInfo& info) {
  return std::make_unique<TextWriter>(file, info);
}

}  // namespace collapsar
