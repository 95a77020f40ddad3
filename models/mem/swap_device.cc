#include "models/mem/swap_device.h"

#include <algorithm>
#include <array>
#include <deque>
#include <limits>
#include <stdexcept>

#include "models/mem/swap_slots.h"

namespace collapsar {
namespace {

constexpr std::uint64_t kMostSlots = std::uint64_t{std::numeric_limits<SwapSlot>::max()} + 1;
constexpr std::uint32_t kNoQueue = std::numeric_limits<std::uint32_t>::max();

// ---- Presets

struct Quantile {
  double share, value;  // this share of all requests takes at most `value`, relative to the others of its list
};
using Shape = std::array<Quantile, 5>;

// Samsung 990 PRO 2 TB, 4 KiB random at depth 1, us: read mean 45.7, p50 46.3, p99 48.9, p99.9 64.3; write mean 12.9,
// p99 14.1 (fio, libaio, O_DIRECT, ext4, Linux 6.8; one published course report). Guesses: the ends; the write's median
// and p99.9 (p99 times what it is for reads). Each list is scaled to the configured mean.
constexpr Shape kFlashRead{{{0, 40.8}, {0.5, 46.3}, {0.99, 48.9}, {0.999, 64.3}, {1, 128}}};
constexpr Shape kFlashWrite{{{0, 11.7}, {0.5, 12.9}, {0.99, 14.1}, {0.999, 18.5}, {1, 37}}};
// zram with lz4, swap-in of one page, ns: mean 1708, p99 3600 (notes.xeome.dev, "Zram": replay on a desktop CPU).
// Guesses: all but the p99.
constexpr Shape kZram{{{0, 1200}, {0.5, 1550}, {0.99, 3600}, {0.999, 7200}, {1, 14400}}};

struct Preset {
  std::uint32_t queue_depth;
  Duration read, write;            // mean of a 4 KiB request, alone
  double bandwidth;                // bytes per second; 0: no limit
  Duration read_page, write_page;  // each page after the first, beside the transfer
  const Shape *read_shape, *write_shape;
};

Preset preset_of(SwapKind kind) {
  using std::chrono::nanoseconds;
  constexpr Duration kZero = Duration::zero();
  switch (kind) {
    case SwapKind::nvme:  // means: above; depth of its deep-queue runs; 6.9 GB/s: specified sequential write
      return {32, nanoseconds(45'700), nanoseconds(12'900), 6.9e9, kZero, kZero, &kFlashRead, &kFlashWrite};
    case SwapKind::ssd:  // 860 EVO data sheet: 10 K and 42 K IOPS at depth 1; AHCI queue of 32; 0.55 GB/s
      return {32, nanoseconds(100'000), nanoseconds(23'800), 0.55e9, kZero, kZero, &kFlashRead, &kFlashWrite};
    // One page above, 8 pages 10,674 ns; compression: a 1.1 GB set in 4.47 s with lz4 (same source), copy included, so
    // an upper bound. No queue and no bus: each CPU does its own.
    case SwapKind::zram:
      return {kNoQueue, nanoseconds(1'708), nanoseconds(16'000), 0, nanoseconds(1'281), nanoseconds(16'000), &kZram,
              &kZram};
    case SwapKind::ideal:
    case SwapKind::none: return {kNoQueue, kZero, kZero, 0, kZero, kZero, &kZram, &kZram};
  }
  return {};
}

// Latencies of one direction: a shape, linear between its points, stretched to a mean. No libm: the same on every
// machine.
class LatencyTable {
 public:
  LatencyTable(const Shape& shape, Duration mean) : shape_(shape) {
    double area = 0;
    for (std::size_t i = 1; i < shape.size(); ++i)
      area += (shape[i].share - shape[i - 1].share) * (shape[i].value + shape[i - 1].value) / 2;
    scale_ = double(mean.count()) / area;
  }
  Duration draw(Random& random) const {
    const double share = random.uniform();
    std::size_t i = 1;
    while (shape_[i].share <= share) ++i;
    const Quantile low = shape_[i - 1], high = shape_[i];
    const double value = low.value + (high.value - low.value) * ((share - low.share) / (high.share - low.share));
    return Duration(std::int64_t(value * scale_ + 0.5));
  }

 private:
  Shape shape_;
  double scale_ = 0;
};

}  // namespace

// ---- The device: up to `depth` requests wait for their medium side by side, then pass the bus one after the other

struct SwapDevice::Impl {
  // One place in the device's queue.
  struct Place {
    explicit Place(Impl& owner) : device(owner) {}
    void step() { device.step(*this); }
    Impl& device;
    SwapRequest* request = nullptr;
    bool on_bus = false;
    Place* next_free = nullptr;
    Event step_ = event<&Place::step>(this, "swap.device", Phase::completion);
  };

  Impl(EventQueue& q, SwapStats& s, SpanSink* const& sink, const SwapConfig& config, std::uint64_t slot_count,
       std::uint64_t seed)
      : queue(q),
        stats(s),
        spans(sink),
        preset(preset_of(config.device)),
        random(seed, "swap"),
        slots(slot_count),
        depth(config.queue_depth.value_or(preset.queue_depth)),
        bandwidth(config.bandwidth ? config.bandwidth->bytes_per_second : preset.bandwidth),
        read(*preset.read_shape, config.read.value_or(preset.read)),
        write(*preset.write_shape, config.write.value_or(preset.write)) {}

  Duration bus_time(std::uint32_t pages) const {
    if (bandwidth == 0) return Duration::zero();
    return Duration(std::int64_t(double(pages * kPageBytes) / bandwidth * 1e12 + 0.5));
  }

  void submit(SwapRequest& request) {
    if (in_service < depth) return start(request);
    request.next = nullptr;
    (first_waiting ? last_waiting->next : first_waiting) = &request;
    last_waiting = &request;
  }

  // The drawn latency is that of a 4 KiB request alone, so the bus time of one page is part of it.
  void start(SwapRequest& request) {
    ++in_service;
    if (!free_places) free_places = &places.emplace_back(*this);
    Place& place = *free_places;
    free_places = place.next_free;
    place.request = &request;
    place.on_bus = false;
    const Duration drawn = (request.is_write ? write : read).draw(random);
    const Duration more = (request.is_write ? preset.write_page : preset.read_page) * std::int64_t(request.pages - 1);
    queue.schedule_after(place.step_, std::max(Duration::zero(), drawn - bus_time(1)) + more);
  }

  void step(Place& place) {
    if (place.on_bus || bandwidth == 0) return finish(place);
    place.on_bus = true;
    bus_free = std::max(bus_free, queue.now()) + bus_time(place.request->pages);
    queue.schedule(place.step_, bus_free);
  }

  void finish(Place& place) {
    SwapRequest& request = *place.request;
    ++stats.completed;
    stats.latency.add(queue.now() - request.submitted);
    draw(request);
    place.next_free = free_places;
    free_places = &place;
    --in_service;
    if (request.done) queue.schedule(*request.done, queue.now());
    if (!first_waiting) return;
    SwapRequest& next = *first_waiting;
    first_waiting = next.next;
    start(next);
  }

  // From submit to completion: with all places taken, the wait for one is part of it.
  void draw(const SwapRequest& request) const {
    if (!spans) return;
    spans->add({{"swap device", 0, /*overlaps=*/true},
                request.is_write ? "write" : "read",
                request.submitted,
                queue.now(),
                {SpanNote::count("pages", request.pages), SpanNote::count("slot", request.slot)}});
  }

  EventQueue& queue;
  SwapStats& stats;
  SpanSink* const& spans;  // the device's
  const Preset preset;
  Random random;
  SwapSlots slots;
  const std::uint32_t depth;
  const double bandwidth;
  const LatencyTable read, write;
  std::deque<Place> places;  // grows to the most that were ever in service
  Place* free_places = nullptr;
  SwapRequest *first_waiting = nullptr, *last_waiting = nullptr;
  std::uint32_t in_service = 0;
  Time bus_free{};
};

void SwapConfig::validate() const {
  if (size.value / kPageBytes > kMostSlots)
    throw std::invalid_argument(
        fmt::format("size: found {}, expected at most {}", to_text(size), to_text(Bytes{kMostSlots * kPageBytes})));
  if (queue_depth == 0U) throw std::invalid_argument("queue_depth: found 0, expected at least 1");
  if (bandwidth && !(bandwidth->bytes_per_second > 0)) throw std::invalid_argument("bandwidth: found 0, expected more");
  if ((read && *read < Duration::zero()) || (write && *write < Duration::zero()))
    throw std::invalid_argument("read, write: found a negative time");
  if (page_cluster > 9)  // a swap-in reads at most one cluster
    throw std::invalid_argument(fmt::format("page_cluster: found {}, expected at most 9", page_cluster));
}

SwapDevice::SwapDevice(EventQueue& queue, const SwapConfig& config, std::uint64_t seed)
    : config_(config),
      slots_(config.device == SwapKind::none ? 0 : config.size.value / kPageBytes),
      free_slots_(slots_),
      impl_(std::make_unique<Impl>(queue, stats_, spans_, config, slots_, seed)) {}

SwapDevice::~SwapDevice() = default;

std::optional<SwapSlot> SwapDevice::allocate() {
  const std::optional<SwapSlot> slot = is_active_ ? impl_->slots.take_one() : std::nullopt;
  if (slot) --free_slots_;
  return slot;
}

std::optional<SwapSlot> SwapDevice::allocate_huge() {
  const std::optional<SwapSlot> slot = is_active_ ? impl_->slots.take_cluster() : std::nullopt;
  if (slot) free_slots_ -= SwapSlots::kClusterSlots;
  return slot;
}

void SwapDevice::duplicate(SwapSlot slot) { impl_->slots.add_user(slot); }

bool SwapDevice::release(SwapSlot slot) {
  const bool is_free = impl_->slots.drop_user(slot);
  free_slots_ += is_free;
  return is_free;
}

std::uint64_t SwapDevice::held() const {
  std::uint64_t n = impl_->in_service;
  for (const SwapRequest* r = impl_->first_waiting; r; r = r->next) ++n;
  return n;
}

std::uint32_t SwapDevice::users(SwapSlot slot) const { return impl_->slots.users(slot); }

void SwapDevice::submit(SwapRequest& request) {
  SIM_ASSERT(request.pages > 0 && std::uint64_t{request.slot} + request.pages <= slots_,
             "swap request of {} pages at slot {} of {}", request.pages, request.slot, slots_);
  ++stats_.submitted;
  (request.is_write ? stats_.writes : stats_.reads) += request.pages;
  request.submitted = impl_->queue.now();
  impl_->submit(request);
}

}  // namespace collapsar
