#include "models/mem/dram_stream.h"

#include <deque>
#include <vector>

#include "models/mem/dram.h"

namespace collapsar {
namespace {

constexpr std::uint64_t kModulo = 1ULL << 32;

// Submits the reads of a stream and adds up how long they take.
class Driver {
 public:
  Driver(const DramConfig& config, DramStream stream, std::uint64_t reads, std::uint32_t interval)
      : dram_(queue_, config), addresses_(stream), left_(reads), reads_(reads), interval_(interval) {}

  DramStreamResult run(std::uint32_t most_in_flight) {
    if (interval_ > 0) queue_.schedule(arrival_, kTimeZero);
    else
      for (std::uint32_t i = 0; i < most_in_flight; ++i) submit_next();
    queue_.run();
    const DramTiming& t = dram_.timing();
    const double period = double(t.period_ps) / double(t.period_divisor), n = double(reads_);
    const auto cycles = [&](std::int64_t ps) { return double(ps) / period; };
    DramStreamResult result;
    result.latency = cycles(total_.count()) / n;
    result.row_hit_share = double(dram_.stats().row_hits) / n;
    result.cycles_per_request = cycles(queue_.now().time_since_epoch().count()) / n;
    result.stats = dram_.stats();
    return result;
  }

 private:
  struct Slot {
    explicit Slot(Driver& owner) : driver(owner) { request.done = &done; }
    void answered() { driver.answered(*this); }
    Driver& driver;
    DramRequest request;
    Event done = event<&Slot::answered>(this, "dram_stream.answered", Phase::cpu);
  };

  void submit_next() {
    if (left_ == 0) return;
    --left_;
    if (free_.empty()) free_.push_back(&slots_.emplace_back(*this));
    Slot& slot = *free_.back();
    free_.pop_back();
    slot.request.address = {addresses_.next()};
    dram_.submit(slot.request);
  }
  void arrive() {
    submit_next();
    arrivals_ += interval_;
    if (left_ > 0) queue_.schedule(arrival_, dram_.timing().time_of(arrivals_));
  }
  void answered(Slot& slot) {
    total_ += slot.request.finished - slot.request.submitted;
    free_.push_back(&slot);
    if (interval_ == 0) submit_next();
  }

  EventQueue queue_;
  Dram dram_;
  DramStreamAddresses addresses_;
  std::uint64_t left_, reads_;
  std::uint32_t interval_;
  std::int64_t arrivals_ = 0;
  Duration total_{};
  std::deque<Slot> slots_;
  std::vector<Slot*> free_;
  Event arrival_ = event<&Driver::arrive>(this, "dram_stream.arrival", Phase::cpu);
};

}  // namespace

std::string_view name_of(DramStream stream) {
  switch (stream) {
    case DramStream::seq: return "seq";
    case DramStream::rand: return "rand";
    case DramStream::stride4096: return "stride4096";
    case DramStream::stride8192: return "stride8192";
  }
  return "";
}

std::uint64_t DramStreamAddresses::next() {
  const std::uint64_t i = i_++;
  switch (stream_) {
    case DramStream::seq: return 64 * i;
    case DramStream::stride4096: return 4096 * i % kModulo;
    case DramStream::stride8192: return 8192 * i % kModulo;
    case DramStream::rand: break;
  }
  std::uint64_t z = state_ += 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return (z ^ (z >> 31)) % kModulo & ~63ULL;
}

DramStreamResult run_dram_stream(const DramConfig& config, DramStream stream, std::uint64_t reads,
                                 std::uint32_t interval) {
  constexpr std::uint32_t kBeyondTheQueues = 64;  // as many as can be between their column and their last data
  Driver driver(config, stream, reads, interval);
  return driver.run(config.channels * (config.queue + kBeyondTheQueues));
}

DramConfig dram_reference_config() {
  DramConfig config;
  config.standard = "DDR4-2400";
  config.channels = config.ranks = 1;
  config.mapping = "RoBaRaCoCh";
  config.page_policy = PagePolicy::open;
  config.queue = 32;
  config.controller_latency = 1;  // there the first command of a request goes in the cycle after it has come
  return config;
}

}  // namespace collapsar
