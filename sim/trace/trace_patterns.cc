#include "sim/trace/trace_patterns.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <numeric>

namespace collapsar {

namespace {

using PatternKind = SyntheticPattern::Kind;
constexpr std::uint64_t kLink = 64;  // bytes
constexpr std::uint64_t kGroupsPerDoubling = 16;

std::uint64_t usable(const SyntheticPattern& p) { return Spread(p.footprint.value, p.pages_per_range).bytes(); }
std::uint64_t stride_of(const SyntheticPattern& p) {
  return p.pattern == PatternKind::stride ? p.stride.value : page_bytes(p.page);
}

// A chase goes from link to link: whole lines that hold one reference.
std::uint64_t link_of(const SyntheticPattern& p) { return align_up(std::max<std::uint64_t>(p.size, 1), kLink); }

// The natural logarithm of 2, to double precision.
constexpr double kLn2 = 0.69314718055994530942;

// ln(x) = k ln 2 + ln(m), 1 <= m < 2: ln(m) = 2 artanh((m - 1) / (m + 1)), whose series needs 20 terms for 1e-17.
double logarithm(double x) {
  double k = 0;
  for (; x >= 2; x /= 2) ++k;
  for (; x < 1; x *= 2) --k;
  const double z = (x - 1) / (x + 1);
  double sum = 0, term = z;
  for (int n = 1; n < 40; n += 2, term *= z * z) sum += term / n;
  return k * kLn2 + 2 * sum;
}

double exponential(double x) {
  double scale = 1;
  for (; x < 0; x += kLn2) scale /= 2;
  for (; x >= kLn2; x -= kLn2) scale *= 2;
  double sum = 1, term = 1;
  for (int n = 1; n < 20; ++n) term *= x / n, sum += term;
  return scale * sum;
}

}  // namespace

double power(double x, double y) { return exponential(y * logarithm(x)); }

Spread::Spread(std::uint64_t footprint, std::uint32_t pages_per_range)
    : bytes_(footprint), range_bytes_(pages_per_range * kPageBytes), is_dense_(pages_per_range == kHugePages) {
  if (!is_dense_) bytes_ = footprint / kHugeBytes * range_bytes_ + std::min(footprint % kHugeBytes, range_bytes_);
}

RandomCycle::RandomCycle(std::uint64_t n, Random& random)
    : n_(n),
      mask_(std::bit_ceil(std::max<std::uint64_t>(n, 2)) - 1),
      shift_(static_cast<unsigned>(std::popcount(mask_)) / 2 + 1) {
  // Full period modulo a power of two: multiplier 1 modulo 4, odd increment (Hull and Dobell).
  multiplier_ = ((random.next() & ~std::uint64_t{3}) | 1) & mask_;
  if (mask_ >= 7) multiplier_ |= 5;
  increment_ = random.next() | 1;
  state_ = random.next() & mask_;
}

Zipf::Zipf(std::uint64_t n, double theta) : n_(n), step_(1) {
  // About 0.618 n, made coprime to n: neighbours in rank land far apart.
  if (n > 2) {
    step_ = n / 1000 * 618 + n % 1000 * 618 / 1000 + 1;
    while (std::gcd(step_, n) != 1) ++step_;
  }
  std::vector<double> weights;
  for (std::uint64_t first = 0; first < n;) {
    const std::uint64_t count =
        std::min(n - first, std::max<std::uint64_t>(1, std::bit_floor(first + 1) / kGroupsPerDoubling));
    const double middle = static_cast<double>(first) + 1 + static_cast<double>(count - 1) / 2;
    groups_.push_back({first, count, 0, 0});
    weights.push_back(static_cast<double>(count) * power(middle, -theta));
    first += count;
  }
  groups_.resize(std::bit_ceil(groups_.size()));
  weights.resize(groups_.size());
  // Vose's alias method: every group gets an equal slot; what a heavy group has too much goes to the slots of light
  // ones.
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<std::size_t> light, heavy;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] *= static_cast<double>(weights.size()) / sum;
    (weights[i] < 1 ? light : heavy).push_back(i);
  }
  constexpr double kWhole = 4294967296.0;  // 2^32
  while (!light.empty() && !heavy.empty()) {
    const std::size_t small = light.back(), large = heavy.back();
    light.pop_back();
    groups_[small].own = static_cast<std::uint64_t>(weights[small] * kWhole), groups_[small].alias = large;
    weights[large] -= 1 - weights[small];
    if (weights[large] < 1) heavy.pop_back(), light.push_back(large);
  }
  for (const std::size_t i : heavy) groups_[i].own = 1ULL << 32;
  for (const std::size_t i : light) {
    if (i < groups_.size() && weights[i] > 0.5) groups_[i].own = 1ULL << 32;  // 1, but for rounding
  }
}

std::uint64_t PatternCursor::count(const SyntheticPattern& p) {
  if (p.pattern == PatternKind::idle) return 0;
  if (p.references > 0) return p.references;
  const std::uint64_t bytes = usable(p);
  switch (p.pattern) {
    case PatternKind::touch:
    case PatternKind::sparse:
    case PatternKind::stride: return (bytes - p.size) / stride_of(p) + 1;
    case PatternKind::sequential:
    case PatternKind::random:
    case PatternKind::zipf: return bytes / p.size;
    case PatternKind::chase: return std::max<std::uint64_t>(1, bytes / link_of(p));
    case PatternKind::idle: return 0;
  }
  return 0;
}

PatternCursor::PatternCursor(const SyntheticPattern& pattern, std::uint64_t base, std::uint64_t seed,
                             std::size_t number)
    : pattern_(pattern),
      base_(base),
      left_(count(pattern)),
      spread_(pattern.footprint.value, pattern.pages_per_range),
      random_(seed, fmt::format("trace.synthetic.{}", number)),
      cycle_(std::max<std::uint64_t>(1, spread_.bytes() / link_of(pattern)), random_),
      zipf_(pattern.pattern == PatternKind::zipf ? std::max<std::uint64_t>(1, spread_.bytes() / kPageBytes) : 1,
            pattern.theta) {
  record_.instructions = static_cast<std::uint32_t>(pattern.instructions_between + 1);
  record_.size = static_cast<std::uint16_t>(pattern.size);
  record_.kind = pattern.write ? RefKind::store : RefKind::load;
  if (pattern.pattern == PatternKind::chase) record_.flags = Record::kDependsOnLoad;
}

template <class Next>
void PatternCursor::fill_with(std::span<Record> out, Next next) {
  Record record = record_;
  for (Record& r : out) {
    record.va = base_ + spread_.offset(next());
    r = record;
  }
}

// The next of offsets that go up by `by` and start again where less than a reference is left of `limit`.
std::uint64_t PatternCursor::step(std::uint64_t by, std::uint64_t limit) {
  const std::uint64_t offset = at_;
  at_ += by;
  if (at_ + pattern_.size > limit) at_ = 0;
  return offset;
}

void PatternCursor::fill(std::span<Record> out) {
  const std::uint64_t bytes = spread_.bytes(), size = pattern_.size;
  left_ -= out.size();
  switch (pattern_.pattern) {
    case PatternKind::touch:
    case PatternKind::sparse:
    case PatternKind::stride: return fill_with(out, [&, by = stride_of(pattern_)] { return step(by, bytes); });
    case PatternKind::sequential: return fill_with(out, [&] { return step(size, bytes); });
    case PatternKind::random: {
      Random random = random_;
      fill_with(out, [&random, size, slots = bytes / size] { return random.below(slots) * size; });
      random_ = random;
      return;
    }
    case PatternKind::zipf:
      return fill_with(out, [&, slots = kPageBytes / size] {
        return zipf_.next(random_) * kPageBytes + random_.below(slots) * size;
      });
    case PatternKind::chase: return fill_with(out, [&, link = link_of(pattern_)] { return cycle_.next() * link; });
    case PatternKind::idle: return;
  }
}

}  // namespace collapsar
