#include "sim/trace/trace_lackey_line.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

namespace collapsar {

namespace {

using Op = TraceEvent::Op;
constexpr std::size_t kLongestLine = 1u << 16;  // SYSCALL lines quote paths; nothing real comes near
constexpr std::size_t kBuffer = 1u << 20;
constexpr std::uint64_t kMapAnonymous = 0x20, kPrSetThpDisable = 41;
constexpr std::string_view kOutcome = " --> ";  // of a system call whose line was broken: "unimplemented ..."
constexpr std::string_view kSuccess = "Success(", kFailure = "Failure(";

bool is_remark(std::string_view line) {
  return line.empty() || line.starts_with("==") || line.starts_with("--") || line.starts_with("**");
}

// A lower- or upper-case hexadecimal digit, or 16.
unsigned hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? static_cast<unsigned>(lower - 'a' + 10) : 16;
}

// "0x1f" or "31" or "-1".
std::uint64_t any_number(std::string_view word) {
  std::uint64_t v = 0;
  const bool is_negative = word.starts_with('-');
  if (is_negative) word.remove_prefix(1);
  const bool is_hex = word.starts_with("0x");
  if (is_hex) word.remove_prefix(2);
  std::from_chars(word.data(), word.data() + word.size(), v, is_hex ? 16 : 10);
  return is_negative ? 0 - v : v;
}

// The numbers between the parentheses of "sys_name ( 0x1000, 4096, 3 )".
std::vector<std::uint64_t> arguments(std::string_view text) {
  std::vector<std::uint64_t> values;
  while (!text.empty() && values.size() < 6) {
    const std::size_t comma = std::min(text.find(','), text.size());
    std::string_view word = text.substr(0, comma);
    word.remove_prefix(std::min(word.find_first_not_of(" ("), word.size()));
    values.push_back(any_number(word.substr(0, word.find_first_of(" )("))));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  values.resize(6);
  return values;
}

// x86-64 system call numbers: arch/x86/entry/syscalls/syscall_64.tbl.
enum Syscall : std::uint64_t {
  kMmap = 9,
  kMprotect = 10,
  kMunmap = 11,
  kBrk = 12,
  kMremap = 25,
  kMadvise = 28,
  kMlock = 149,
  kMunlock = 150,
  kPrctl = 157,
  kExitGroup = 231,
  kMlock2 = 325,
};

// A system call that succeeded as an event; nullopt if it says nothing of the address space.
std::optional<TraceEvent> to_event(std::uint64_t number, const std::vector<std::uint64_t>& a, std::uint64_t result) {
  TraceEvent e;
  e.address = a[0], e.length = a[1];
  switch (number) {
    case kMmap:
      e.op = Op::mmap, e.address = result;
      e.prot = static_cast<std::uint32_t>(a[2]), e.map_flags = static_cast<std::uint32_t>(a[3]);
      if (!(a[3] & kMapAnonymous)) e.file = a[4] + 1, e.offset = a[5];  // by descriptor: nothing else is told
      return e;
    case kMprotect: e.op = Op::mprotect, e.prot = static_cast<std::uint32_t>(a[2]); return e;
    case kMunmap: e.op = Op::munmap; return e;
    case kBrk: e.op = Op::brk, e.address = result, e.length = 0; return e;
    case kMremap:
      e.op = Op::mremap, e.new_length = a[2], e.map_flags = static_cast<std::uint32_t>(a[3]), e.new_address = result;
      return e;
    case kMadvise: e.op = Op::madvise, e.advice = static_cast<std::uint32_t>(a[2]); return e;
    case kMlock:
    case kMlock2: e.op = Op::mlock; return e;
    case kMunlock: e.op = Op::munlock; return e;
    case kExitGroup: e.op = Op::exit, e.address = e.length = 0; return e;
    case kPrctl:
      if (a[0] != kPrSetThpDisable) return std::nullopt;
      e.op = Op::thp_disable, e.value = a[1] ? 1 | (a[2] & 2) : 0, e.address = e.length = 0;
      return e;
    default: return std::nullopt;  // a number, not an enum: most calls do not matter here
  }
}

bool looks_like_reference(std::string_view line) {
  return line.starts_with("I  ") || line.starts_with(" L ") || line.starts_with(" S ") || line.starts_with(" M ");
}

}  // namespace

void LackeyLines::fail(std::string_view line, const char* right) const {
  throw TraceError(
      fmt::format("{}: line {}, byte offset {}: '{}': {}", stream_.name(), line_, offset_, line.substr(0, 80), right));
}

bool LackeyLines::is_lackey(const std::string& file) {
  LackeyLines lines(file);
  std::string_view line;
  constexpr unsigned kRemarks = 100;  // Valgrind's banner is some 10 lines
  for (unsigned i = 0; i < kRemarks; ++i) {
    try {
      if (!lines.read_line(line)) return false;
    } catch (const TraceError&) {
      return looks_like_reference(line);
    }
    if (looks_like_reference(line) || line.starts_with("SYSCALL[")) return true;
    if (!is_remark(line)) return false;
  }
  return false;
}

void LackeyLines::rewind() {
  stream_.rewind();
  at_ = filled_ = 0;
  line_ = offset_ = next_offset_ = 0;
  tail_.clear();
  pid_ = 0;
  blocked_.clear();
}

bool LackeyLines::read_line(std::string_view& line) {
  const auto find_end = [&]() -> const std::uint8_t* {
    return filled_ == at_ ? nullptr
                          : static_cast<const std::uint8_t*>(std::memchr(buffer_.data() + at_, '\n', filled_ - at_));
  };
  const std::uint8_t* end = find_end();
  if (!end) {
    buffer_.resize(kBuffer + kLongestLine);
    std::memmove(buffer_.data(), buffer_.data() + at_, filled_ - at_);
    filled_ -= at_, at_ = 0;
    offset_ = next_offset_, ++line_;
    if (filled_ > kLongestLine)
      fail({reinterpret_cast<const char*>(buffer_.data()), 80}, "a line of at most 64 KiB is right");
    filled_ += stream_.read({buffer_.data() + filled_, kBuffer});
    if (filled_ == 0) return false;
    end = find_end();
    line = {reinterpret_cast<const char*>(buffer_.data()), filled_};
    if (!end) fail(line, "the text ends within a line; a whole file is right");
    --line_;
  }
  const std::size_t length = static_cast<std::size_t>(end - (buffer_.data() + at_));
  line = {reinterpret_cast<const char*>(buffer_.data()) + at_, length};
  at_ += length + 1;
  offset_ = next_offset_, next_offset_ += length + 1, ++line_;
  return true;
}

bool LackeyLines::parse_reference(std::string_view line, Record& record) const {
  RefKind kind = RefKind::fetch;
  switch (line[line[0] == ' ' ? 1 : 0]) {
    case 'I': kind = RefKind::fetch; break;
    case 'L': kind = RefKind::load; break;
    case 'S': kind = RefKind::store; break;
    case 'M': kind = RefKind::modify; break;
    default: return false;
  }
  std::uint64_t va = 0, size = 0;
  std::size_t i = 3, digits = 0;
  for (unsigned d; i < line.size() && (d = hex_digit(line[i])) < 16; ++i, ++digits) va = va << 4 | d;
  if (digits == 0 || digits > 16 || i >= line.size() || line[i] != ',') return false;
  const std::size_t size_at = ++i;
  for (; i < line.size() && line[i] >= '0' && line[i] <= '9' && size < 65536; ++i)
    size = size * 10 + static_cast<unsigned>(line[i] - '0');
  if (i == size_at || i != line.size() || size == 0 || size > UINT16_MAX) return false;
  record = {va, kind == RefKind::fetch ? 1u : 0u, static_cast<std::uint16_t>(size), kind, 0};
  return true;
}

// What stands behind the outcome of a system call, if it is a reference. A load, store or modify keeps its leading
// blank.
void LackeyLines::keep_tail(std::string_view rest) {
  while (rest.starts_with(' ') && !looks_like_reference(rest)) rest.remove_prefix(1);
  tail_ = looks_like_reference(rest) ? rest : "";
}

// "SYSCALL[pid,tid](num) sys_name ( args ) --> [pre-success] Success(0x..)", then perhaps a reference; or in two lines,
// for a call that may block: "... ( args ) --> [async] ..." and "SYSCALL[pid,tid](num) ... [async] --> Success(0x..)".
std::optional<TraceEvent> LackeyLines::parse_system_call(std::string_view line) {
  const auto number_after = [&](char c) {
    return any_number(line.substr(std::min(line.find(c), line.size() - 1) + 1));
  };
  const std::uint64_t pid = number_after('['), tid = number_after(','), number = number_after('(');
  const std::size_t head = std::min(line.find(')'), line.size() - 1) + 1;  // behind "(num)"
  const std::size_t open = line.find('(', head);
  const bool is_second_line = line.substr(head).starts_with(" ... [async]");
  std::vector<std::uint64_t> arguments_of(6);
  if (is_second_line) arguments_of = std::exchange(blocked_[tid], std::vector<std::uint64_t>(6));
  else if (open != std::string_view::npos)
    arguments_of = arguments(line.substr(open + 1, line.find(')', open) - open - 1));
  if (pid_ == 0) pid_ = pid;
  if (const std::size_t dots = line.find("[async] ..."); dots != std::string_view::npos) {
    blocked_[tid] = arguments_of;
    keep_tail(line.substr(dots + std::strlen("[async] ...")));
    return std::nullopt;
  }
  std::size_t outcome = line.find(kSuccess);
  const bool is_success = outcome != std::string_view::npos;
  if (!is_success) outcome = line.find(kFailure);
  if (outcome == std::string_view::npos) return std::nullopt;  // the outcome is on the next line
  const std::size_t close = line.find(')', outcome);
  if (close == std::string_view::npos) fail(line, "Success(0x...) or Failure(0x...) is right");
  keep_tail(line.substr(close + 1));
  if (!is_success || pid != pid_) return std::nullopt;
  return to_event(number, arguments_of,
                  any_number(line.substr(outcome + kSuccess.size(), close - outcome - kSuccess.size())));
}

LackeyLines::Kind LackeyLines::next(Record& record, TraceEvent& event) {
  constexpr const char* kRight = "'I  addr,size', ' L addr,size', ' S addr,size' or ' M addr,size' is right";
  if (!tail_.empty()) {
    const std::string tail = std::move(tail_);
    tail_.clear();
    if (!parse_reference(tail, record)) fail(tail, kRight);
    return Kind::reference;
  }
  std::string_view line;
  while (read_line(line)) {
    if (looks_like_reference(line)) {
      if (!parse_reference(line, record)) fail(line, kRight);
      return Kind::reference;
    }
    if (line.starts_with("SYSCALL[") || line.starts_with(kOutcome)) {
      const std::optional<TraceEvent> call = line[0] == 'S' ? parse_system_call(line) : std::nullopt;
      if (line[0] == ' ') keep_tail(line.substr(std::min(line.find(')'), line.size() - 1) + 1));
      if (call) event = *call;
      if (call) return Kind::event;
      if (!tail_.empty()) return next(record, event);
      continue;
    }
    if (!is_remark(line)) fail(line, kRight);
  }
  return Kind::end;
}

}  // namespace collapsar
