// SwapDevice: where pages go when memory is short; slots, a submission queue and a device behind it.
//
// Models:      slots with use counts (shared by fork), a queue of limited depth, read and write latency distributions,
//              bandwidth. The latency of a 4 KiB request is drawn; further pages pass the device at its bandwidth.
// Simplified:  one distribution whatever the load (depth and bandwidth make the queueing); no wear, no garbage
//              collection; ssd has the shape of nvme around its own mean.
// Time:        from submit() to the completion event.
// Owns:        the slot map and the device queue; requests belong to the requester.
// Source:      swap_device.cc: nvme = Samsung 990 PRO (fio), ssd = SATA 860 EVO data sheet, zram = lz4 replay figures.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "models/mem/swap_slots.h"
#include "sim/core/config.h"
#include "sim/core/event_queue.h"
#include "sim/core/random.h"
#include "sim/core/span.h"
#include "sim/core/stats.h"
#include "sim/core/units.h"

namespace collapsar {

enum class SwapKind : std::uint8_t { none, nvme, ssd, zram, ideal };
template <>
struct EnumNames<SwapKind> {
  static constexpr std::array<std::pair<std::string_view, SwapKind>, 5> names{{{"none", SwapKind::none},
                                                                               {"nvme", SwapKind::nvme},
                                                                               {"ssd", SwapKind::ssd},
                                                                               {"zram", SwapKind::zram},
                                                                               {"ideal", SwapKind::ideal}}};
};

struct SwapConfig {
  SwapKind device = SwapKind::nvme;
  Bytes size{8 * kGiB};
  // Unset: the preset of the device (sources in swap_device.cc).
  std::optional<std::uint32_t> queue_depth;
  std::optional<Duration> read, write;  // mean of one 4 KiB request at queue depth 1
  std::optional<Bandwidth> bandwidth;   // of the device, both directions together
  std::uint32_t page_cluster = 3;       // 2^page_cluster pages are read per swap-in (vm.page-cluster)
  template <class V>
  void describe(V& v) {
    v("device", device, "nvme | ssd | zram | ideal (no time) | none");
    v("size", size, "bytes of swap space");
    v("queue_depth", queue_depth, "requests the device works on at once; none = the device's preset");
    v("read", read, "mean latency of a 4 KiB read; none = preset");
    v("write", write, "mean latency of a 4 KiB write; none = preset");
    v("bandwidth", bandwidth, "bytes per second through the device; none = preset");
    v("page_cluster", page_cluster, "log2 of the pages read per swap-in, as vm.page-cluster");
  }
  void validate() const;
};

struct SwapStats {
  std::uint64_t reads = 0, writes = 0;  // pages
  std::uint64_t submitted = 0, completed = 0;
  Histogram latency;  // ns, submit to completion
  template <class V>
  void describe(V& v) {
    v("reads", reads, "pages", "pages read from the swap device");
    v("writes", writes, "pages", "pages written to the swap device");
    v("submitted", submitted, "requests", "handed to the device");
    v("completed", completed, "requests", "answered");
    v("latency", latency, "ns", "from submit to completion");
  }
};

struct SwapRequest {
  SwapSlot slot = 0;  // first slot
  std::uint32_t pages = 1;
  bool is_write = false;
  Event* done = nullptr;
  // --- the rest belongs to the device while in flight ---
  Time submitted{};
  SwapRequest* next = nullptr;
};

class SwapDevice {
 public:
  // Requires: config.validate() passes.
  SwapDevice(EventQueue& queue, const SwapConfig& config, std::uint64_t seed);
  SwapDevice(const SwapDevice&) = delete;
  SwapDevice& operator=(const SwapDevice&) = delete;
  ~SwapDevice();

  bool present() const { return slots_ > 0; }
  // swapoff and swapon, as far as new slots go: an inactive device gives out none. What it holds stays readable.
  void set_active(bool is_active) { is_active_ = is_active; }
  std::uint64_t slots() const { return slots_; }
  std::uint64_t free_slots() const { return free_slots_; }
  // Takes a free slot with use count 1, lowest cluster first. nullopt: swap is full or absent.
  std::optional<SwapSlot> allocate();
  // 512 consecutive slots aligned to 512, for a whole huge page.
  std::optional<SwapSlot> allocate_huge();
  void duplicate(SwapSlot slot);  // one more user (fork)
  bool release(SwapSlot slot);    // one user less; true if the slot is free now
  std::uint32_t users(SwapSlot slot) const;

  void submit(SwapRequest& request);
  std::uint64_t in_flight() const { return stats_.submitted - stats_.completed; }
  // Requests in service and waiting, counted one by one: what in_flight() must be.
  std::uint64_t held() const;
  bool is_synchronous() const {
    return config_.device == SwapKind::zram || config_.device == SwapKind::ideal;
  }  // SWP_SYNCHRONOUS_IO
  std::uint32_t readahead_pages() const { return 1U << config_.page_cluster; }
  SwapStats& stats() { return stats_; }
  void set_spans(SpanSink* sink) { spans_ = sink; }  // nullptr: nobody draws

 private:
  struct Impl;  // slot map, device queue

  SwapConfig config_;
  std::uint64_t slots_ = 0, free_slots_ = 0;
  bool is_active_ = true;
  SwapStats stats_;
  SpanSink* spans_ = nullptr;
  std::unique_ptr<Impl> impl_;
};

}  // namespace collapsar
