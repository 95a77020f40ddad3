#include "sim/trace/trace_planes_events.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "sim/trace/trace_input.h"
#include "sim/trace/trace_syscall.h"

namespace collapsar {

namespace {

using Op = TraceEvent::Op;
using Words = std::vector<std::string_view>;

// Linux uapi: include/uapi/linux/sched.h, include/uapi/asm-generic/mman-common.h.
constexpr std::uint64_t kCloneThread = 0x10000;
constexpr std::uint64_t kMapFixed = 0x10, kMapFixedNoReplace = 0x100000;

class EventsParser {
 public:
  EventsParser(const std::string& file, std::uint64_t records, const std::set<std::uint32_t>& children,
               FileNumbers& files)
      : file_(file), records_(records), children_(children), files_(files) {}
  PlaneEvents parse(const std::string& text, bool only_header);

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw TraceError(fmt::format("{}: line {}, byte offset {}: {}", file_, line_, offset_, what));
  }
  std::uint64_t number(std::string_view word, int base) const;
  std::int64_t result(std::string_view word) const;
  std::string_view value(std::string_view word, std::string_view key) const;
  TraceEvent event(Op op) const;
  void add(TraceEvent e) { out_.events.push_back(std::move(e)); }
  void parse_line(const Words& words);
  void process(const Words& words);
  void vma(const Words& words);
  void close_image();
  void system_call(const Words& words);
  void entry(std::string_view name);
  void map(const std::uint64_t a[6], std::uint64_t address);
  void new_task(std::string_view name, std::uint64_t flags, std::uint32_t task);
  void set_break(std::uint64_t end);

  const std::string& file_;
  std::uint64_t records_;
  const std::set<std::uint32_t>& children_;
  FileNumbers& files_;
  PlaneEvents out_;
  std::uint64_t line_ = 0, offset_ = 0;
  std::uint64_t index_ = 0;
  std::uint32_t tid_ = 0;
  std::int64_t ns_ = 0;
  std::vector<TraceEvent> rooms_;
  std::uint32_t threads_ = 1;
  std::uint64_t break_ = 0;
  bool has_exited_ = false, has_ended_ = false, is_in_exec_ = false;
  std::map<std::uint64_t, std::string> open_files_;  // descriptor -> key of the file last mapped through it
  std::uint64_t mapped_files_ = 0;
};

Words split(std::string_view line) {
  Words words;
  while (!line.empty()) {
    const std::size_t end = std::min(line.find(' '), line.size());
    if (end > 0) words.push_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return words;
}

std::uint64_t EventsParser::number(std::string_view word, int base) const {
  std::uint64_t v = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), v, base);
  if (error != std::errc{} || end != word.data() + word.size()) {
    fail(fmt::format("'{}' is no number; a {} number is right", word, base == 16 ? "hexadecimal" : "decimal"));
  }
  return v;
}

std::int64_t EventsParser::result(std::string_view word) const {
  const bool is_negative = word.starts_with('-');
  const auto v = static_cast<std::int64_t>(number(is_negative ? word.substr(1) : word, 10));
  return is_negative ? -v : v;
}

std::string_view EventsParser::value(std::string_view word, std::string_view key) const {
  if (!word.starts_with(key)) fail(fmt::format("'{}' where {}... is right", word, key));
  return word.substr(key.size());
}

TraceEvent EventsParser::event(Op op) const {
  TraceEvent e;
  e.op = op, e.pid = out_.pid, e.tid = tid_ ? tid_ : out_.tid;
  e.index = index_, e.stamp_ns = ns_;
  return e;
}

PlaneEvents EventsParser::parse(const std::string& text, bool only_header) {
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    ++line_;
    if (end == std::string_view::npos) fail("the last line has no end; a whole file is right");
    const Words words = split(rest.substr(0, end));
    if (!words.empty()) parse_line(words);
    rest.remove_prefix(end + 1), offset_ += end + 1;
    if (only_header) return std::move(out_);
  }
  if (line_ == 0) fail("the file is empty; it would begin with a process line");
  close_image();
  out_.ends_with_exec = is_in_exec_;
  if (!has_ended_ && !out_.is_truncated && !is_in_exec_) fail("no end or truncated line; a whole file is right");
  return std::move(out_);
}

void EventsParser::parse_line(const Words& words) {
  if (words.size() < 4) fail("INDEX THREAD USEC WORD... is right");
  const std::uint64_t index = number(words[0], 10);
  const auto ns = static_cast<std::int64_t>(number(words[2], 10)) * 1000;
  if (index < index_) fail(fmt::format("index {} after {}; indices ascend", index, index_));
  if (index > records_) fail(fmt::format("index {} is beyond the {} records", index, records_));
  index_ = index, ns_ = std::max(ns_, ns);
  tid_ = static_cast<std::uint32_t>(number(words[1], 10));
  const std::string_view kind = words[3];
  if (line_ == 1) {
    if (kind != "process") fail(fmt::format("'{}' where the process line is right", kind));
    process(words);
  } else if (kind == "vma") {
    vma(words);
  } else if (kind == "sys") {
    close_image();
    system_call(words);
  } else if (kind == "truncated") {
    out_.is_truncated = true;
    add(event(Op::truncated));
  } else if (kind == "end") {
    has_ended_ = true;
  } else if (kind != "sync") {
    fail(fmt::format("'{}' is unknown; process, vma, sys, sync, truncated or end is right", kind));
  }
  out_.anchors.push_back({index_, ns_});
}

void EventsParser::process(const Words& words) {
  if (words.size() < 6) fail("process pid= ppid= exe= or process pid= forked_from= parent_index= is right");
  out_.pid = static_cast<std::uint32_t>(number(value(words[4], "pid="), 10));
  if (tid_) out_.tid = tid_;
  if (words[5].starts_with("forked_from=")) {
    out_.forked_from = static_cast<std::uint32_t>(number(value(words[5], "forked_from="), 10));
    if (words.size() > 6) out_.parent_index = number(value(words[6], "parent_index="), 10);
  } else if (words.size() > 6) {
    out_.exe = value(words[6], "exe=");
    for (std::size_t i = 7; i < words.size(); ++i) out_.exe += fmt::format(" {}", words[i]);
  }
}

void EventsParser::vma(const Words& words) {
  if (words.size() < 12) fail("vma START END PROT file|anon|resvn off= dev= ino= NAME is right");
  TraceEvent e = event(Op::vma);
  const std::uint64_t end = number(words[5], 16);
  e.address = number(words[4], 16);
  if (end <= e.address) fail("a VMA must end behind its start");
  e.length = end - e.address;
  if (words[7] == "resvn") {
    e.op = words.back() == "growsdown" ? Op::stack_room : Op::heap_room;
    rooms_.push_back(e);
    return;
  }
  constexpr std::string_view kLetters = "rwx";
  for (std::size_t i = 0; i < kLetters.size() && i < words[6].size(); ++i)
    e.prot |= words[6][i] == kLetters[i] ? 1u << i : 0;
  e.map_flags = uapi::kMapPrivate;
  if (words[7] == "file") {
    e.offset = number(value(words[8], "off="), 16);
    e.file = files_.of(fmt::format("{} {}", value(words[9], "dev="), value(words[10], "ino=")));
    e.name = words[11];
    for (std::size_t i = 12; i < words.size(); ++i) e.name += fmt::format(" {}", words[i]);
  } else {
    e.map_flags |= uapi::kMapAnonymous;
  }
  out_.image.push_back(e);
}

// The heap is the anonymous VMA below the room of brk. It is told by heap_room and brk, as the kernel knows it.
// Valgrind backs the first page before the program's first brk; that page alone is not the program's.
void EventsParser::close_image() {
  for (TraceEvent& room : rooms_) {
    const auto is_heap = [&](const TraceEvent& e) { return e.address + e.length == room.address && !e.file; };
    const auto heap =
        room.op == Op::heap_room ? std::find_if(out_.image.begin(), out_.image.end(), is_heap) : out_.image.end();
    if (heap == out_.image.end()) {
      out_.image.push_back(room);
      continue;
    }
    TraceEvent brk = event(Op::brk);
    brk.index = heap->index, brk.stamp_ns = heap->stamp_ns, brk.address = room.address;
    const bool is_backed_by_tool = heap->length == kPageBytes;
    room.length += heap->length, room.address = heap->address;
    break_ = is_backed_by_tool ? room.address : brk.address;
    out_.image.erase(heap);
    out_.image.push_back(room);
    if (!is_backed_by_tool) out_.image.push_back(brk);
  }
  rooms_.clear();
}

void EventsParser::system_call(const Words& words) {
  if (words.size() < 5) fail("sys NAME ... is right");
  const std::string_view name = words[4];
  const auto equals = std::find(words.begin(), words.end(), "=");
  if (equals == words.end()) return entry(name);
  if (name == "execve") is_in_exec_ = false;
  if (words.size() < 13 || words[11] != "=") fail("sys NAME a1 a2 a3 a4 a5 a6 = RESULT is right");
  const std::int64_t returned = result(words[12]);
  if (returned < 0 && returned >= -4095) return;  // failed; MAX_ERRNO, include/linux/err.h
  std::uint64_t a[6];
  for (std::size_t i = 0; i < 6; ++i) a[i] = number(words[5 + i], 16);
  const auto address = static_cast<std::uint64_t>(returned);
  TraceEvent e = event(Op::mprotect);
  e.address = a[0], e.length = a[1];
  if (name == "mmap") return map(a, address);
  if (name == "brk") return set_break(address);
  if (name == "clone" || name == "clone3" || name == "fork" || name == "vfork")
    return new_task(name, a[0], static_cast<std::uint32_t>(address));
  if (name == "wait4") {
    if (address > 0) out_.waited.try_emplace(static_cast<std::uint32_t>(address), event(Op::exit));
    return;
  }
  if (name == "munmap") e.op = Op::munmap;
  else if (name == "mprotect") e.prot = static_cast<std::uint32_t>(a[2]);
  else if (name == "madvise") e.op = Op::madvise, e.advice = static_cast<std::uint32_t>(a[2]);
  else if (name == "mlock" || name == "mlock2") e.op = Op::mlock;
  else if (name == "munlock") e.op = Op::munlock;
  else if (name == "mremap")
    e.op = Op::mremap, e.new_length = a[2], e.map_flags = static_cast<std::uint32_t>(a[3]), e.new_address = address;
  else if (name == "prctl" && a[0] == uapi::kPrSetThpDisable)
    e = event(Op::thp_disable), e.value = a[1] ? 1 | (a[2] & 2) : 0;
  else return;
  add(e);
}

void EventsParser::entry(std::string_view name) {
  if (name == "execve" || name == "execveat") is_in_exec_ = true;
  if (name == "exit") add(event(Op::thread_exit));
  if (name == "exit_group" && !has_exited_) has_exited_ = true, add(event(Op::exit));
}

void EventsParser::map(const std::uint64_t a[6], std::uint64_t address) {
  TraceEvent e = event(Op::mmap);
  e.address = address, e.length = a[1];
  e.prot = static_cast<std::uint32_t>(a[2]), e.map_flags = static_cast<std::uint32_t>(a[3]);
  if (!(a[3] & uapi::kMapAnonymous)) {
    std::string& key = open_files_[a[4]];
    if (key.empty() || !(a[3] & (kMapFixed | kMapFixedNoReplace)))
      key = fmt::format("{} fd {} #{}", out_.pid, a[4], ++mapped_files_);
    e.file = files_.of(key), e.offset = a[5];
  }
  add(e);
}

void EventsParser::new_task(std::string_view name, std::uint64_t flags, std::uint32_t task) {
  if (task == 0) return;  // the child's own return from the fork
  const bool is_fork =
      name == "fork" || name == "vfork" || children_.contains(task) || (name == "clone" && !(flags & kCloneThread));
  TraceEvent e = event(is_fork ? Op::fork : Op::thread);
  e.value = is_fork ? task : ++threads_;
  if (is_fork) e.new_tid = e.tid;
  add(e);
}

void EventsParser::set_break(std::uint64_t end) {
  if (break_ ==
      0) {  // no room was told: the heap begins at the first answer, and its room ends with the process's last brk
    TraceEvent room = event(Op::heap_room);
    room.address = end;
    add(room);
  } else if (end != break_) {
    TraceEvent e = event(Op::brk);
    e.address = end;
    add(e);
  }
  break_ = end;
  const auto room =
      std::find_if(out_.events.begin(), out_.events.end(), [](const TraceEvent& e) { return e.op == Op::heap_room; });
  if (room != out_.events.end()) room->length = std::max(room->length, end - std::min(end, room->address));
}

}  // namespace

PlaneEvents read_plane_header(const std::string& file) {
  InputStream stream(file);
  std::vector<std::uint8_t> line(4096);
  line.resize(stream.read(line));
  const std::set<std::uint32_t> none;
  FileNumbers files;
  const auto* text = reinterpret_cast<const char*>(line.data());
  return EventsParser(file, UINT64_MAX, none, files).parse(std::string(text, line.size()), true);
}

PlaneEvents read_plane_events(const std::string& file, std::uint64_t records, const std::set<std::uint32_t>& children,
                              FileNumbers& files) {
  InputStream stream(file);
  return EventsParser(file, records, children, files).parse(read_all(stream), false);
}

}  // namespace collapsar
