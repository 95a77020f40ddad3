// Dram: main memory behind queues; a request goes in with submit() and is answered by an event.
//
// Models:      channels, ranks, bank groups, banks with open rows, data buses, refresh; every timing gate between commands
//              (dram_gates.h); FR-FCFS with write drain (dram_channel.h); address mappings by name (dram_map.h). A bulk
//              request moves many lines of one frame, for copies and clears.
// Order:       requests that are answered, reads and bulk writes alike, go before posted writes, which wait in a buffer of
//              their own; a read of a buffered line is answered from there.
// Simplified:  the controller latency is charged on the way back; a posted write that waits outside the full buffer is not
//              found by reads; two writes of one line are two writes.
// Time:        everything between submit() and the completion event, in memory-clock cycles counted from time 0.
// Owns:        bank state and queues. Requests belong to the requester and must stay put until they are answered.
// Source:      JESD79-4, JESD79-5; figures in dram_timing.cc (JEDEC speed bins as shipped by Ramulator 2, DRAMsim3).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "models/mem/dram_config.h"
#include "sim/core/event_queue.h"

namespace collapsar {

struct DramPart;
struct DramCommandRecord;

// Owned by the requester; not moved or reused between submit() and `done`.
struct DramRequest {
  PhysAddr address{};
  std::uint32_t lines = 1;  // consecutive 64-byte lines within one 4 KiB frame
  bool is_write = false;
  Event* done = nullptr;  // scheduled at the moment of completion; nullptr for posted writes (see post_write)
  // --- the rest belongs to Dram while in flight ---
  Time submitted{};
  Time finished{};               // of the parts served so far, the last moment
  std::uint32_t parts_left = 0;  // pieces still waiting in channels
};

class Dram {
 public:
  // Requires: config.validate() passes.
  Dram(EventQueue& queue, const DramConfig& config);
  Dram(const Dram&) = delete;
  Dram& operator=(const Dram&) = delete;
  ~Dram();
  // `arrives`: when it reaches the controller; now, if that is past. Requires: not later, for more than one line.
  void submit(DramRequest& request, Time arrives = kTimeZero);
  // A write of one line that nobody waits for (dirty line written back).
  void post_write(PhysAddr address);
  // Unloaded read of a closed bank: controller + tRCD + tCL + burst (or `ideal`).
  Duration unloaded_read() const;
  // Bytes per second of all channels together; infinite for `ideal`.
  double peak_bandwidth() const;
  // With `ideal`, bulk copies take no memory time and only count the lines of their pages (see BulkCopy).
  bool is_ideal() const { return ideal_.has_value(); }
  void count_ideal_pages(std::uint64_t pages, bool is_write) {
    (is_write ? stats_.writes : stats_.reads) += pages * (kPageBytes / 64);
  }
  const DramTiming& timing() const { return timing_; }
  // As of now.
  DramStats& stats() { return catch_up(), stats_; }
  // Submitted until now; to look at them changes nothing.
  std::uint64_t lines_read() const { return stats_.reads; }
  std::uint64_t lines_written() const { return stats_.writes; }
  // Requests whose completion moment is not fixed yet, as far as the channels have been asked.
  std::uint64_t in_flight() const { return stats_.submitted - stats_.completed; }
  // Requests that queues and banks hold, counted one by one: what in_flight() must be.
  std::uint64_t held() const;
  // For tests: every command from now on, by channel. `logs` grows to the number of channels.
  void log_commands(std::vector<std::vector<DramCommandRecord>>& logs);

 private:
  friend class DramChannel;
  struct Impl;  // address map, channels, the parts of requests
  // While it lives, an answer due now waits for its end and is given there, without the agenda. Whoever has one does nothing
  // more in the handler of that event.
  class AnswersHere {
   public:
    explicit AnswersHere(Dram& dram) : dram_(dram) { dram_.answers_here_ = true; }
    AnswersHere(const AnswersHere&) = delete;
    AnswersHere& operator=(const AnswersHere&) = delete;
    ~AnswersHere();

   private:
    Dram& dram_;
  };
  std::uint64_t next_age();
  void catch_up();
  // The last data of `part` is on the bus until clock edge `data_end`.
  void part_served(DramPart& part, std::int64_t data_end);
  void answer(DramRequest& request);

  EventQueue& queue_;
  const DramConfig config_;
  std::optional<Duration> ideal_;
  DramTiming timing_;
  DramStats stats_;
  bool answers_here_ = false;
  Event* due_ = nullptr;
  std::unique_ptr<Impl> impl_;
};

}  // namespace collapsar
