#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "sim/trace/trace_drmemtrace.h"
#include "sim/trace/trace_input.h"

namespace collapsar {

namespace {

// trace_type_t
enum Type : std::uint16_t {
  kRead = 0,
  kWrite = 1,
  kPrefetch = 2,      // to 9
  kInstruction = 10,  // to 16: jumps, calls, return
  kReturn = 16,
  kBundle = 17,
  kFlush = 18,  // to 21
  kThread = 22,
  kThreadExit = 23,
  kProcessId = 24,
  kFileHeader = 25,
  kFooter = 26,
  kHardwarePrefetch = 27,
  kMarker = 28,
  kNoFetch = 29,
  kMaybeFetch = 30,
  kSysenter = 31,
  kEncoding = 47,
  kTakenJump = 48,
  kUntakenJump = 49,
};

// trace_marker_type_t
enum Marker : std::uint16_t {
  kTimestamp = 2,  // us
  kFunctionId = 4,
  kFunctionArgument = 6,
  kFunctionResult = 7,
  kFileType = 9,
  kVersion = 12,
  kWindow = 14,
  kSyscall = 25,  // before a call's function id, with its number
  kSyscallTraceStart = 27,
  kSyscallTraceEnd = 28,
  kSyscallFailed = 30,
  kSwitchTraceStart = 34,
  kSwitchTraceEnd = 35,
};

constexpr std::uint64_t kSyscallBase = 0x100000000;  // TRACE_FUNC_ID_SYSCALL_BASE
constexpr std::uint64_t kVersionWithResults = 6;     // before, a call's result is 1 (success) or 0
constexpr std::uint64_t kNewestVersion = 100;        // none such exists; says that the bytes are no header
// offline_file_type_t
constexpr std::uint64_t kFiltered = 0x01 | 0x80 | 0x100, kAarch64 = 0x08, k32Bit = 0x10 | 0x20;

bool is_instruction(std::uint16_t type) {
  return (type >= kInstruction && type <= kReturn) || type == kSysenter || type == kTakenJump || type == kUntakenJump;
}

}  // namespace

DrmemThread::DrmemThread(const std::string& name, DrmemFacts& facts)
    : name_(name), file_(open_drmem_file(name)), facts_(facts), buffer_(4096 * kEntryBytes) {}

void DrmemThread::fail(const std::string& what) const { trace_error(name_, entries_, entries_ * kEntryBytes, what); }

bool DrmemThread::is_drmem(const std::string& name) {
  std::array<std::uint8_t, kEntryBytes> first{};
  try {
    if (open_drmem_file(name)->read(first) != first.size()) return false;
  } catch (const TraceError&) {
    return false;
  }
  return first[0] == kFileHeader && first[1] == 0 && first[2] == 0 && first[3] == 0 && first[4] < kNewestVersion &&
         std::all_of(first.begin() + 5, first.end(), [](std::uint8_t b) { return b == 0; });
}

bool DrmemThread::read(Entry& entry) {
  if (at_ == filled_) {
    at_ = 0, filled_ = file_->read(buffer_);
    if (filled_ % kEntryBytes != 0) fail("the file ends within an entry; entries of 12 bytes are right");
    if (filled_ == 0) return false;
  }
  std::memcpy(&entry.type, buffer_.data() + at_, 2);
  std::memcpy(&entry.size, buffer_.data() + at_ + 2, 2);
  std::memcpy(&entry.value, buffer_.data() + at_ + 4, 8);
  at_ += kEntryBytes, ++entries_;
  return true;
}

std::uint32_t DrmemThread::id(const Entry& entry, const char* name) const {
  if (entry.value > INT32_MAX) fail(fmt::format("{} {}; a positive 32-bit number is right", name, entry.value));
  return static_cast<std::uint32_t>(entry.value);
}

DrmemThread::Kind DrmemThread::next(ForeignReader::Item& item) {
  while (true) {
    if (bundle_.size > 0) {
      const auto length = static_cast<std::uint32_t>(bundle_.value & 0xff);
      bundle_.value >>= 8, --bundle_.size;
      return reference(next_instruction_, length, RefKind::fetch, item);
    }
    Entry entry;
    const bool has_entry = read(entry);
    const bool has_failed = has_entry && entry.type == kMarker && entry.size == kSyscallFailed;
    if (std::exchange(has_returned_, false) && !has_failed) {
      if (std::optional<TraceEvent> event = finished_call()) {
        if (has_entry) at_ -= kEntryBytes, --entries_;
        item.event = std::move(*event);
        return Kind::event;
      }
    }
    if (!has_entry) break;
    if (const std::optional<Kind> kind = take(entry, item)) return *kind;
  }
  if (!has_footer_) fail("the file ends without a footer; a whole file is right");
  return Kind::end;
}

DrmemThread::Kind DrmemThread::reference(std::uint64_t va, std::uint32_t size, RefKind kind,
                                         ForeignReader::Item& item) {
  const bool is_fetch = kind == RefKind::fetch;
  if (is_fetch) next_instruction_ = va + size;
  const auto bytes = static_cast<std::uint16_t>(std::max(1u, size));
  item.record = {va, std::exchange(uncounted_, 0) + (is_fetch ? 1u : 0u), bytes, kind, 0};
  return Kind::reference;
}

std::optional<DrmemThread::Kind> DrmemThread::take(const Entry& entry, ForeignReader::Item& item) {
  if (is_in_kernel_ && entry.type != kMarker && entry.type != kFooter) {
    facts_.kernel_left_out += entry.type <= kWrite || is_instruction(entry.type);
    return std::nullopt;
  }
  if (is_instruction(entry.type)) return reference(entry.value, entry.size, RefKind::fetch, item);
  const std::uint32_t pid = pid_, tid = tid_;
  switch (entry.type) {
    case kRead: return reference(entry.value, entry.size, RefKind::load, item);
    case kWrite: return reference(entry.value, entry.size, RefKind::store, item);
    case kBundle:
      if (entry.size > sizeof entry.value) fail(fmt::format("a bundle of {}; at most 8 is right", entry.size));
      bundle_ = entry;
      return std::nullopt;
    case kNoFetch:
    case kMaybeFetch: ++uncounted_; return std::nullopt;
    case kThread: tid_ = id(entry, "thread"); break;
    case kProcessId: pid_ = id(entry, "process"); break;
    case kFooter: has_footer_ = true; return std::nullopt;
    case kFileHeader: version_ = std::max(version_, entry.value); return std::nullopt;
    case kMarker: return take_marker(entry);
    default:
      if (entry.type > kUntakenJump) fail(fmt::format("an entry of type {}; 0 to 49 is right", entry.type));
      return std::nullopt;  // prefetches, flushes, encodings, the end of a thread
  }
  return pid != pid_ || tid != tid_ ? std::optional(Kind::thread) : std::nullopt;
}

std::optional<DrmemThread::Kind> DrmemThread::take_marker(const Entry& entry) {
  switch (entry.size) {
    case kTimestamp:
      if (entry.value <= time_us_) return std::nullopt;
      time_us_ = entry.value;
      return Kind::time;
    case kFileType: set_file_type(entry.value); break;
    case kVersion: version_ = entry.value; break;
    case kWindow: facts_.has_windows |= entry.value > 0; break;
    case kSyscallTraceStart:
    case kSwitchTraceStart: is_in_kernel_ = true; break;
    case kSyscallTraceEnd:
    case kSwitchTraceEnd: is_in_kernel_ = false; break;
    case kSyscall:
    case kSyscallFailed: is_in_call_ = false; break;
    case kFunctionId: begin_call(entry.value); break;
    case kFunctionArgument:
      if (is_in_call_ && arguments_ < call_.arguments.size()) call_.arguments[arguments_++] = entry.value;
      break;
    case kFunctionResult: call_.result = entry.value, has_returned_ = is_in_call_; break;
    default: break;  // a number, not an enum: most markers do not matter here
  }
  return std::nullopt;
}

void DrmemThread::set_file_type(std::uint64_t bits) {
  if (bits & k32Bit) fail("the trace of a 32-bit program; of a 64-bit one is right");
  if (bits & kAarch64) table_ = SyscallTable::aarch64;
  facts_.is_filtered |= (bits & kFiltered) != 0;
}

// Before a call its id and arguments stand, after it its id and the result.
void DrmemThread::begin_call(std::uint64_t id) {
  const bool is_same = is_in_call_ && call_.number == id - kSyscallBase;
  is_in_call_ = id >= kSyscallBase;
  if (!is_same) call_ = {id - kSyscallBase, {}, 0}, arguments_ = 0;
}

std::optional<TraceEvent> DrmemThread::finished_call() {
  is_in_call_ = false;
  const std::optional<SyscallNeeds> needs = needs_of(call_.number, table_);
  if (!needs) return std::nullopt;
  const bool has_result = version_ >= kVersionWithResults;
  constexpr std::uint64_t kLowestError = static_cast<std::uint64_t>(-4095);  // MAX_ERRNO, include/linux/err.h
  if (has_result ? call_.result >= kLowestError : call_.result == 0) return std::nullopt;
  if (arguments_ < needs->arguments || (needs->result && !has_result)) {
    ++facts_.calls_left_out;
    return std::nullopt;
  }
  std::optional<TraceEvent> event = to_event(call_, table_);
  if (event) event->pid = pid_, event->tid = tid_;
  return event;
}

}  // namespace collapsar
