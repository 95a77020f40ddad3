#include "sim/trace/trace_lackey_line.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "sim/trace/trace_syscall.h"

namespace collapsar {

namespace {

constexpr std::size_t kThreads = 65536;         // that may be in a system call at once; pid_max is 32768 by default
constexpr std::string_view kOutcome = " --> ";  // of a system call whose line was broken: "unimplemented ..."
constexpr std::string_view kSuccess = "Success(", kFailure = "Failure(";

bool is_remark(std::string_view line) {
  return line.empty() || line.starts_with("==") || line.starts_with("--") || line.starts_with("**");
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
SyscallArguments arguments(std::string_view text) {
  SyscallArguments values{};
  for (std::size_t i = 0; i < values.size() && !text.empty(); ++i) {
    const std::size_t comma = std::min(text.find(','), text.size());
    std::string_view word = text.substr(0, comma);
    word.remove_prefix(std::min(word.find_first_not_of(" ("), word.size()));
    values[i] = any_number(word.substr(0, word.find_first_of(" )(")));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return values;
}

bool looks_like_reference(std::string_view line) {
  return line.starts_with("I  ") || line.starts_with(" L ") || line.starts_with(" S ") || line.starts_with(" M ");
}

}  // namespace

bool LackeyLines::is_lackey(const std::string& file) {
  constexpr std::size_t kRemarks = 100;  // Valgrind's banner is some 10 lines
  for (const std::string& line : first_lines(file, kRemarks)) {
    if (looks_like_reference(line) || line.starts_with("SYSCALL[")) return true;
    if (!is_remark(line)) return false;
  }
  return false;
}

void LackeyLines::rewind() {
  text_.rewind();
  tail_.clear();
  pid_ = 0;
  blocked_.clear();
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

SyscallArguments LackeyLines::take_blocked(std::uint64_t tid) {
  const auto found = blocked_.find(tid);
  if (found == blocked_.end()) return {};
  const SyscallArguments arguments_of = found->second;
  blocked_.erase(found);
  return arguments_of;
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
  SystemCall call;
  call.number = number;
  if (is_second_line) call.arguments = take_blocked(tid);
  else if (open != std::string_view::npos)
    call.arguments = arguments(line.substr(open + 1, line.find(')', open) - open - 1));
  if (pid_ == 0) pid_ = pid;
  if (const std::size_t dots = line.find("[async] ..."); dots != std::string_view::npos) {
    if (blocked_.size() == kThreads) text_.fail(line, "at most 65536 threads at once is right");
    blocked_[tid] = call.arguments;
    keep_tail(line.substr(dots + std::strlen("[async] ...")));
    return std::nullopt;
  }
  std::size_t outcome = line.find(kSuccess);
  const bool is_success = outcome != std::string_view::npos;
  if (!is_success) outcome = line.find(kFailure);
  if (outcome == std::string_view::npos) return std::nullopt;  // the outcome is on the next line
  const std::size_t close = line.find(')', outcome);
  if (close == std::string_view::npos) text_.fail(line, "Success(0x...) or Failure(0x...) is right");
  keep_tail(line.substr(close + 1));
  if (!is_success || pid != pid_) return std::nullopt;
  call.result = any_number(line.substr(outcome + kSuccess.size(), close - outcome - kSuccess.size()));
  return to_event(call, SyscallTable::x86_64);
}

LackeyLines::Kind LackeyLines::next(Record& record, TraceEvent& event) {
  constexpr const char* kRight = "'I  addr,size', ' L addr,size', ' S addr,size' or ' M addr,size' is right";
  std::string_view line;
  while (!tail_.empty() || text_.next(line)) {
    const std::string tail = std::exchange(tail_, {});
    if (!tail.empty()) line = tail;
    if (looks_like_reference(line)) {
      if (!parse_reference(line, record)) text_.fail(line, kRight);
      return Kind::reference;
    }
    if (line.starts_with("SYSCALL[")) {
      const std::optional<TraceEvent> call = parse_system_call(line);
      if (!call) continue;
      event = *call;
      return Kind::event;
    }
    if (line.starts_with(kOutcome)) keep_tail(line.substr(std::min(line.find(')'), line.size() - 1) + 1));
    else if (!is_remark(line)) text_.fail(line, kRight);
  }
  return Kind::end;
}

}  // namespace collapsar
