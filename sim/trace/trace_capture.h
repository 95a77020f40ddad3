// CaptureRecorder: what the capture tool sends, written as one trace while the program runs.
//
// Models:      the processes of one recording. Each image (from start, fork or exec to exit or the next exec) has a
//              stream of its own, in its own total order; streams are merged as their bytes arrive.
// Order:       a child's first item stands behind its parent's fork, an image's first behind the last of the image before:
//              a stream whose turn has not come waits, and its bytes are not to be read. Otherwise processes change
//              where the tool empties its buffer: when it is full (32,768 words) and before calls that may block.
// Window:      the first `skip` references are left out, but not their events, nor what they had in memory at its end.
// Errors:      TraceError if a stream says what the tool does not say. A stream that ends early is a killed process.
// Memory:      per open stream a message and a piece; a bit per touched page.
// Source:      traces/README.md, "The raw stream".
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "sim/trace/trace_capture_check.h"
#include "sim/trace/trace_capture_stream.h"
#include "sim/trace/trace_capture_words.h"
#include "sim/trace/trace_touched_before.h"

namespace collapsar {

struct CaptureOptions {
  CaptureFetches fetches = CaptureFetches::page;
  std::uint64_t skip = 0, limit = 0;  // references; no limit: 0
  bool children = false;              // forked ones are recorded too; else they are there, and touch nothing
};

struct CaptureSummary {
  std::uint64_t references = 0;                         // in the trace
  std::uint64_t skipped = 0, outside = 0, invalid = 0;  // outside: of all, not in a mapping
  std::uint64_t pages = 0, processes = 0, threads = 0;
};

class CaptureRecorder {
 public:
  struct Process;
  struct Stream {
    explicit Stream(RawMessages m) : messages(std::move(m)) {}
    RawMessages messages;
    Process* process = nullptr;
    std::uint32_t pid = 0, parent = 0, tid = 0;
    std::uint64_t start_ns = 0;
    std::string program;
    bool is_waiting = false;  // its bytes are not to be read yet
    bool is_ignored = false;
  };

  // `info`: program and command; the rest is filled in. `file` is a `.ctr`.
  CaptureRecorder(const std::string& file, TraceInfo info, CaptureOptions options);
  ~CaptureRecorder();

  Stream& open();
  void put(Stream& stream, std::span<const std::uint8_t> bytes);
  void received(Stream& stream, std::size_t bytes);  // that many are in stream.messages.room()
  void close(Stream& stream);                        // `stream` is gone then
  bool is_full() const { return options_.limit > 0 && recorded_ == options_.limit; }
  std::uint64_t recorded() const { return recorded_; }
  std::uint64_t seen() const { return seen_; }  // the skipped ones too
  // Ends what still runs as truncated, and puts the file in its place.
  CaptureSummary finish();

 private:
  void drain(Stream& stream);
  void take(Stream& stream, const RawMessage& message);
  void hello(Stream& stream, const RawMessage& message);
  void hello_of_child(Stream& stream);
  void hello_of_image(Stream& stream);
  void resume(Stream& stream);
  void references(Process& process, const RawMessage& message);
  void area(Process& process, const RawMessage& message);
  void call(Process& process, const RawMessage& message);
  void thread(Process& process, const RawMessage& message);
  void thread_exit(Process& process, std::uint32_t tid);
  void fork(Process& parent, std::uint32_t tid, std::uint32_t child);
  void end(Process& process, TraceEvent::Op op);
  void run(Process& process, TraceRun run);
  void emit(Process& process, TraceEvent event);
  Process& add_process(std::uint32_t pid);
  Process* find(std::uint32_t pid);
  Stream* waiting_stream(std::uint32_t pid);
  std::int64_t stamp(std::uint64_t ns);
  std::uint64_t file_number(std::uint64_t device, std::uint64_t inode);
  void note(std::string text);

  CaptureOptions options_;
  TraceInfo info_;
  std::unique_ptr<DescribedSink> sink_;
  std::vector<std::unique_ptr<Process>> processes_;  // all there were
  std::map<std::uint32_t, Process*> by_pid_;         // the last of each pid of the captured machine
  std::set<std::uint32_t> used_pids_;                // in the trace
  std::vector<std::unique_ptr<Stream>> streams_;     // open
  std::set<std::uint32_t> expected_;                 // forked, and not heard of yet
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> files_;  // device and inode -> number
  BufferPool pool_;
  TouchedBefore touched_;
  bool is_skipping_;
  std::uint64_t seen_ = 0, recorded_ = 0;
  std::uint64_t origin_ns_ = 0;
  std::int64_t last_stamp_ = 0;
};

}  // namespace collapsar
