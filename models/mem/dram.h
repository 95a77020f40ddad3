// Dram: main memory behind queues; a request goes in with submit() and is answered by an event.
//
// Models:      channels, ranks, bank groups, banks with open rows, data buses and the main timings (tRCD, tRP,
//              tCL, tCWL, tRAS, tRC, tCCD_S/L, tRRD_S/L, tFAW, tWR, tRTP, tWTR_S/L, rank switch, burst). A bulk
//              request moves many lines of one frame, for copies and clears.
// Order:       a bank serves its requests first come first served; banks work in parallel; the data bus goes to the
//              oldest request whose row is open.
// Simplified:  no refresh (it would add tRFC^2 / (2 tREFI) to a mean latency, 9.4 cycles on DDR4-2400); no write drain;
//              command bus conflicts are not modelled; the bursts of a bulk request follow each other without tCCD_L
//              gaps, as with a controller that spreads a frame over bank groups; the controller latency is charged on
//              the way back; a row field with another field above it has 65,536 rows, and addresses beyond wrap.
// Time:        everything between submit() and the completion event, in memory-clock cycles counted from time 0.
// Owns:        bank state and queues. Requests belong to the requester and must stay put until they are answered.
// Source:      JESD79-4, JESD79-5; figures in dram_timing.cc (JEDEC speed bins as shipped by Ramulator 2, DRAMsim3).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "models/mem/dram_timing.h"
#include "sim/core/config.h"
#include "sim/core/event_queue.h"
#include "sim/core/stats.h"
#include "sim/core/units.h"

namespace collapsar {

struct DramPart;

enum class PagePolicy : std::uint8_t { open, closed };
template <>
struct EnumNames<PagePolicy> {
  static constexpr std::array<std::pair<std::string_view, PagePolicy>, 2> names{
      {{"open", PagePolicy::open}, {"closed", PagePolicy::closed}}};
};

struct DramConfig {
  std::optional<Duration> ideal;       // every request takes this long, no queues; nullopt = the model below
  std::string standard = "DDR4-2666";  // DDR4-2400 DDR4-2666 DDR4-3200 DDR5-4800 DDR5-5600
  std::uint32_t channels = 6;
  std::uint32_t ranks = 2;
  std::string mapping = "RoBaRaCoCh";  // high to low: row, bank (bank group lowest), rank, column, channel; any order
  PagePolicy page_policy = PagePolicy::open;
  std::uint32_t queue = 32;              // requests a channel accepts before submitters queue outside
  std::uint32_t controller_latency = 3;  // memory-clock cycles through the controller, there and back together
  template <class V>
  void describe(V& v) {
    v("ideal", ideal, "fixed latency of every request; none = queues, banks and rows are modelled");
    v("standard", standard, "DDR4-2400 | DDR4-2666 | DDR4-3200 | DDR5-4800 | DDR5-5600");
    v("channels", channels, "independent channels");
    v("ranks", ranks, "ranks per channel");
    v("mapping", mapping, "address bits from high to low: Ro Ba Ra Co Ch in any order");
    v("page_policy", page_policy, "open | closed");
    v("queue", queue, "requests a channel holds; more wait outside");
    v("controller_latency", controller_latency, "memory-clock cycles through the controller");
  }
  void validate() const;
};

struct DramStats {
  std::uint64_t reads = 0, writes = 0;                            // 64-byte lines
  std::uint64_t row_hits = 0, row_misses = 0, row_conflicts = 0;  // per request: open row, closed bank, other row open
  std::uint64_t submitted = 0, completed = 0;
  Histogram latency;  // of single-line reads, ns
  template <class V>
  void describe(V& v) {
    v("reads", reads, "lines", "lines read");
    v("writes", writes, "lines", "lines written");
    v("row_hits", row_hits, "requests", "found their row open");
    v("row_misses", row_misses, "requests", "found their bank closed");
    v("row_conflicts", row_conflicts, "requests", "found another row open");
    v("submitted", submitted, "requests", "handed to the memory controller");
    v("completed", completed, "requests", "answered");
    v("latency", latency, "ns", "of reads of one line, from submit to the last beat of data");
  }
};

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
  void submit(DramRequest& request);
  // A write of one line that nobody waits for (dirty line written back).
  void post_write(PhysAddr address);
  // Unloaded read of a closed bank: controller + tRCD + tCL + burst (or `ideal`).
  Duration unloaded_read() const;
  // Bytes per second of all channels together; infinite for `ideal`.
  double peak_bandwidth() const;
  // With `ideal`, bulk copies take no memory time and only count their lines (see BulkCopy).
  bool is_ideal() const { return ideal_.has_value(); }
  void count_ideal_bulk(std::uint64_t lines, bool is_write) { (is_write ? stats_.writes : stats_.reads) += lines; }
  const DramTiming& timing() const { return timing_; }
  DramStats& stats() { return stats_; }
  // Requests whose completion moment is not fixed yet.
  std::uint64_t in_flight() const { return stats_.submitted - stats_.completed; }
  // Requests that queues and banks hold, counted one by one: what in_flight() must be.
  std::uint64_t held() const;

 private:
  friend class DramChannel;
  struct Impl;  // address map, channels, the parts of requests
  // The last data of `part` is on the bus until clock edge `data_end`.
  void part_served(DramPart& part, std::int64_t data_end);
  void answer(DramRequest& request);

  EventQueue& queue_;
  std::optional<Duration> ideal_;
  std::uint32_t controller_latency_;
  DramTiming timing_;
  DramStats stats_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace collapsar
