// CaptureRecorder: references, the window of them that is recorded, and the end.
#include <fmt/format.h>

#include <algorithm>

#include "sim/core/error.h"
#include "sim/trace/trace_block.h"
#include "sim/trace/trace_capture_process.h"

namespace collapsar {

namespace {

using Op = TraceEvent::Op;

}  // namespace

void CaptureRecorder::references(Process& process, const RawMessage& message) {
  const auto begin = static_cast<std::int64_t>(message.words[0] - origin_ns_);
  const std::int64_t end = stamp(message.words[1]);
  const auto tid = static_cast<std::uint32_t>(message.words[2]);
  const auto words = message.words.subspan(3);
  process.words.begin(tid, words);
  std::size_t read = 0;
  while (!is_full()) {
    const std::shared_ptr<RecordBuffer> buffer = pool_.take();
    const std::size_t n = process.words.read(buffer->data());
    if (n == 0) break;
    TraceRun part{.pid = process.pid, .tid = tid, .first_index = 0, .records = {buffer->data(), n}, .storage = buffer};
    part.begin_ns = stamp_at(begin, end, read, words.size());
    read = process.words.words_read();
    part.end_ns = stamp_at(begin, end, read, words.size());
    run(process, std::move(part));
  }
}

void CaptureRecorder::run(Process& process, TraceRun run) {
  const std::uint64_t n = run.records.size();
  const std::uint64_t skipped = std::min(n, options_.skip - std::min(options_.skip, seen_));
  for (const Record& r : run.records.first(skipped))
    process.space.touch(r, [&](std::uint64_t page) { touched_.add(process.pid, page); });
  seen_ += n;
  if (skipped == n) return;
  if (is_skipping_) is_skipping_ = false, info_.resident = touched_.result();
  const std::uint64_t wanted = options_.limit ? std::min(n - skipped, options_.limit - recorded_) : n - skipped;
  const std::int64_t begin = run.begin_ns, end = run.end_ns;
  run.begin_ns = stamp_at(begin, end, skipped, n), run.end_ns = stamp_at(begin, end, skipped + wanted, n);
  run.records = run.records.subspan(skipped, wanted);
  run.first_index = recorded_;
  for (const Record& r : run.records) process.space.touch(r, [](std::uint64_t) {});
  recorded_ += wanted;
  sink_->put(run);
}

CaptureSummary CaptureRecorder::finish() {
  for (const auto& process : processes_) {
    if (!process->is_recorded) end(*process, Op::exit);
    if (process->has_exited) continue;
    if (process->is_executing)
      note(fmt::format("process {} went on as another program that was not recorded", process->pid));
    else if (is_full()) note(fmt::format("process {} still ran when the trace was long enough", process->pid));
    end(*process, Op::truncated);
    info_.complete = false;
  }
  if (options_.skip > 0) info_.complete = false;
  if (is_skipping_)
    throw TraceError(
        fmt::format("the program made {} references only; none are left after the first {}", seen_, options_.skip));
  if (!info_.complete && !info_.resident) info_.resident.emplace();  // from the start: nothing was there before
  CaptureSummary s;
  s.references = recorded_, s.skipped = std::min(seen_, options_.skip);
  for (const auto& process : processes_) {
    s.outside += process->space.outside(), s.pages += process->space.pages();
    s.invalid += process->words.invalid(), s.threads += process->threads.size();
  }
  s.processes = static_cast<std::uint64_t>(
      std::count_if(processes_.begin(), processes_.end(), [](const auto& p) { return p->is_recorded; }));
  sink_->describe(info_);
  sink_->finish();
  return s;
}

}  // namespace collapsar
