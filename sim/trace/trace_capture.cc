#include "sim/trace/trace_capture.h"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/error.h"
#include "sim/trace/trace_capture_process.h"
#include "sim/trace/trace_syscall.h"

namespace collapsar {

namespace {

using Op = TraceEvent::Op;

// Level 1, each block alone, packs a breadth-first search 16 % worse than 3 in chains, in two thirds of the time.
// `trace convert` packs it again.
constexpr CtrPacking kPacking{.level = 1, .is_chained = false};
constexpr std::size_t kMostNotes = 100;
constexpr std::uint32_t kMostPid = 1u << 22;  // PID_MAX_LIMIT, include/linux/threads.h

}  // namespace

CaptureRecorder::CaptureRecorder(const std::string& file, TraceInfo info, CaptureOptions options)
    : options_(options), info_(std::move(info)), is_skipping_(options.skip > 0) {
  info_.has_instructions = info_.has_stamps = info_.has_mappings = true;
  info_.complete = true;
  sink_ = create_ctr(file, info_, kPacking);
}

CaptureRecorder::~CaptureRecorder() = default;

void CaptureRecorder::note(std::string text) {
  if (info_.notes.size() < kMostNotes) info_.notes.push_back(std::move(text));
}

std::int64_t CaptureRecorder::stamp(std::uint64_t ns) {
  if (origin_ns_ == 0) origin_ns_ = ns;
  last_stamp_ = static_cast<std::int64_t>(ns - origin_ns_);
  return last_stamp_;
}

CaptureRecorder::Process* CaptureRecorder::find(std::uint32_t pid) {
  const auto it = by_pid_.find(pid);
  return it == by_pid_.end() ? nullptr : it->second;
}

// A pid that the machine has used before gets another number in the trace: there are 1,023 for each.
CaptureRecorder::Process& CaptureRecorder::add_process(std::uint32_t pid) {
  if (pid == 0 || pid > kMostPid) throw TraceError(fmt::format("capture: process {}; 1 to {} is right", pid, kMostPid));
  std::uint32_t number = pid;
  for (; !used_pids_.insert(number).second; number += kMostPid)
    if (number > UINT32_MAX - kMostPid)
      throw TraceError(fmt::format("capture: process {} came too often; a trace has no number left for it", pid));
  processes_.push_back(std::make_unique<Process>(number, options_.fetches));
  by_pid_[pid] = processes_.back().get();
  return *processes_.back();
}

void CaptureRecorder::emit(Process& process, TraceEvent event) {
  event.pid = process.pid;
  event.index = recorded_;
  if (event.stamp_ns == 0) event.stamp_ns = last_stamp_;
  process.space.apply(event);
  if (is_skipping_) touched_.add(event);
  sink_->put(event);
}

// --- streams ---

CaptureRecorder::Stream& CaptureRecorder::open() {
  streams_.push_back(std::make_unique<Stream>(RawMessages("capture stream")));
  return *streams_.back();
}

CaptureRecorder::Stream* CaptureRecorder::waiting_stream(std::uint32_t pid) {
  const auto it =
      std::find_if(streams_.begin(), streams_.end(), [&](const auto& s) { return s->is_waiting && s->pid == pid; });
  return it == streams_.end() ? nullptr : it->get();
}

void CaptureRecorder::put(Stream& stream, std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const std::span<std::uint8_t> room = stream.messages.room();
    const std::size_t n = std::min(bytes.size(), room.size());
    std::copy_n(bytes.begin(), n, room.begin());
    received(stream, n);
    bytes = bytes.subspan(n);
  }
}

void CaptureRecorder::received(Stream& stream, std::size_t bytes) {
  stream.messages.added(bytes);
  drain(stream);
}

void CaptureRecorder::drain(Stream& stream) {
  while (!stream.is_waiting && !is_full()) {
    const std::optional<RawMessage> message = stream.messages.next();
    if (!message) break;
    if (!stream.is_ignored) take(stream, *message);
  }
}

// The turn of a waiting stream has come: its parent has forked, or the image before it has ended.
void CaptureRecorder::resume(Stream& stream) {
  stream.is_waiting = false;
  stream.process = find(stream.pid);
  stream.process->is_open = true;
  drain(stream);
}

void CaptureRecorder::close(Stream& stream) {
  Process* process = stream.process;
  const std::uint32_t pid = stream.pid;
  if (process && !is_full()) {
    process->is_open = false;
    std::vector<std::uint32_t> orphans;  // forked, but their parent was killed before it could say so
    for (const auto& other : streams_)
      if (other->is_waiting && other->parent == pid && other->pid != pid) orphans.push_back(other->pid);
    for (const std::uint32_t child : orphans) fork(*process, process->speaker(), child);
    if (!process->is_executing) end(*process, Op::exit);
  }
  std::erase_if(streams_, [&](const auto& s) { return s.get() == &stream; });
  Stream* next = process ? waiting_stream(pid) : nullptr;
  if (next && !is_full()) hello_of_image(*next);
}

// --- messages ---

void CaptureRecorder::take(Stream& stream, const RawMessage& message) {
  if (message.type == RawType::hello) return hello(stream, message);
  if (!stream.process) stream.messages.fail("no hello; a stream begins with it");
  Process& process = *stream.process;
  process.is_executing = false;  // it goes on: the call failed
  switch (message.type) {
    case RawType::hello: break;
    case RawType::area:
      if (message.words[0] > 2)
        stream.messages.fail(fmt::format("an area of kind {}; 0 to 2 is right", message.words[0]));
      return area(process, message);
    case RawType::start: return;
    case RawType::references:
      if (message.words.size() < 3) stream.messages.fail("references without their times and thread");
      return references(process, message);
    case RawType::call: return call(process, message);
    case RawType::thread: return thread(process, message);
    case RawType::thread_exit:
      stamp(message.words[0]);
      return thread_exit(process, static_cast<std::uint32_t>(message.words[1]));
    case RawType::fork:
      stamp(message.words[0]);
      return fork(process, static_cast<std::uint32_t>(message.words[1]), static_cast<std::uint32_t>(message.words[2]));
    case RawType::exec: process.is_executing = true; return;
    case RawType::exit: stamp(message.words[0]); return end(process, Op::exit);
  }
}

void CaptureRecorder::hello(Stream& stream, const RawMessage& message) {
  if (stream.process || message.words[0] != kRawVersion)
    stream.messages.fail(
        fmt::format("a hello of version {}; one of version {} is right", message.words[0], kRawVersion));
  stream.pid = static_cast<std::uint32_t>(message.words[1]);
  stream.parent = static_cast<std::uint32_t>(message.words[2]);
  if (stream.pid == 0 || stream.pid > kMostPid) stream.messages.fail(fmt::format("process {}", stream.pid));
  stream.tid = static_cast<std::uint32_t>(message.words[4]), stream.start_ns = message.words[5];
  stream.program = message.text;
  if (message.words[3]) hello_of_child(stream);
  else hello_of_image(stream);
}

// A forked child: its parent has said so, or will.
void CaptureRecorder::hello_of_child(Stream& stream) {
  const Process* parent = find(stream.parent);
  if (expected_.erase(stream.pid) > 0) return resume(stream);
  stream.is_waiting = parent && parent->is_open;
  stream.is_ignored = !stream.is_waiting;
  if (stream.is_ignored) note(fmt::format("process {} was not recorded: its parent was not", stream.pid));
}

// A new program: of a process that has executed it, or of one that nobody has announced, the first.
void CaptureRecorder::hello_of_image(Stream& stream) {
  Process* process = find(stream.pid);
  stream.is_waiting = process && process->is_open;
  if (stream.is_waiting) return;
  const bool is_exec = process && process->is_executing;
  if (!is_exec) process = &add_process(stream.pid);
  process->is_executing = false, process->first_tid = stream.tid;
  process->threads.insert(stream.tid);
  process->running = {stream.tid};
  stamp(stream.start_ns);
  emit(*process, {.op = is_exec ? Op::exec : Op::process, .tid = stream.tid, .name = stream.program});
  resume(stream);
}

void CaptureRecorder::area(Process& process, const RawMessage& message) {
  constexpr Op kOps[] = {Op::vma, Op::stack_room, Op::heap_room};
  const auto& w = message.words;
  TraceEvent e;
  e.op = kOps[w[0]], e.tid = process.first_tid;
  e.address = w[1], e.length = w[2];
  if (e.op == Op::vma) {
    e.prot = static_cast<std::uint32_t>(w[3]), e.map_flags = static_cast<std::uint32_t>(w[4]);
    e.name = message.text;
    e.file = file_number(w[6], w[7]), e.offset = e.file ? w[5] : 0;
  }
  emit(process, std::move(e));
}

// Device and inode; 0: no file.
std::uint64_t CaptureRecorder::file_number(std::uint64_t device, std::uint64_t inode) {
  return device == 0 && inode == 0 ? 0 : files_.try_emplace({device, inode}, files_.size() + 1).first->second;
}

void CaptureRecorder::call(Process& process, const RawMessage& message) {
  const auto& w = message.words;
  SystemCall call{w[2], {}, w[9]};
  std::copy_n(w.begin() + 3, 6, call.arguments.begin());
  std::optional<TraceEvent> e = to_event(call, SyscallTable::x86_64);
  if (!e) return;
  e->tid = static_cast<std::uint32_t>(w[1]), e->stamp_ns = stamp(w[0]);
  if (e->file) e->file = file_number(w[10], w[11]), e->name = message.text;
  emit(process, std::move(*e));
}

void CaptureRecorder::thread(Process& process, const RawMessage& message) {
  TraceEvent e;
  e.op = Op::thread, e.stamp_ns = stamp(message.words[0]);
  e.tid = static_cast<std::uint32_t>(message.words[1]), e.value = message.words[2];
  process.threads.insert(static_cast<std::uint32_t>(e.value));
  process.running.insert(static_cast<std::uint32_t>(e.value));
  emit(process, std::move(e));
}

// The last thread ends with its process, whose exit is to come.
void CaptureRecorder::thread_exit(Process& process, std::uint32_t tid) {
  if (process.running.size() < 2 || process.running.erase(tid) == 0) return;
  emit(process, {.op = Op::thread_exit, .tid = tid, .name = {}});
}

void CaptureRecorder::fork(Process& parent, std::uint32_t tid, std::uint32_t pid) {
  Process& child = add_process(pid);
  child.space.fork_from(parent.space);
  child.first_tid = tid;
  child.is_recorded = options_.children;
  if (child.is_recorded) child.threads.insert(tid);
  child.running = {tid};
  emit(parent, {.op = Op::fork, .tid = tid, .value = child.pid, .new_tid = tid, .name = {}});
  if (Stream* stream = waiting_stream(pid)) resume(*stream);
  else expected_.insert(pid);
}

void CaptureRecorder::end(Process& process, Op op) {
  if (process.has_exited) return;
  process.has_exited = true;
  emit(process, {.op = op, .tid = process.speaker(), .name = {}});
}

}  // namespace collapsar
