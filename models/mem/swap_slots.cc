#include "models/mem/swap_slots.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "sim/core/error.h"

namespace collapsar {

SwapSlots::SwapSlots(std::uint64_t slots)
    : slots_(slots),
      clusters_((slots + kClusterSlots - 1) / kClusterSlots),
      with_room_(clusters_.size()),
      whole_(clusters_.size()) {
  for (std::uint64_t number = 0; number < clusters_.size(); ++number) {
    with_room_.insert(number);
    if (size_of(number) == kClusterSlots) whole_.insert(number);
  }
}

std::optional<SwapSlot> SwapSlots::take_one() {
  if (with_room_.empty()) return std::nullopt;
  const std::uint64_t number = with_room_.lowest();
  Cluster& cluster = cluster_at(number);
  std::uint32_t word = 0;
  while (cluster.free[word] == 0) ++word;
  const std::uint32_t i = word * 64 + std::uint32_t(std::countr_zero(cluster.free[word]));
  take(number, cluster, i);
  return SwapSlot(number * kClusterSlots + i);
}

std::optional<SwapSlot> SwapSlots::take_cluster() {
  if (whole_.empty()) return std::nullopt;
  const std::uint64_t number = whole_.lowest();
  Cluster& cluster = cluster_at(number);
  for (std::uint32_t i = 0; i < kClusterSlots; ++i) take(number, cluster, i);
  return SwapSlot(number * kClusterSlots);
}

void SwapSlots::add_user(SwapSlot slot) {
  std::uint16_t& count = users_in_use(slot);
  SIM_ASSERT(count < std::numeric_limits<std::uint16_t>::max(), "swap slot {} has {} users", slot, count);
  ++count;
}

bool SwapSlots::drop_user(SwapSlot slot) {
  if (--users_in_use(slot) > 0) return false;
  const std::uint64_t number = slot / kClusterSlots;
  const std::uint32_t i = slot % kClusterSlots;
  Cluster& cluster = *clusters_[number];
  cluster.free[i / 64] |= 1ULL << (i % 64);
  with_room_.insert(number);
  if (--cluster.taken == 0 && size_of(number) == kClusterSlots) whole_.insert(number);
  return true;
}

std::uint32_t SwapSlots::users(SwapSlot slot) const {
  SIM_ASSERT(slot < slots_, "swap slot {} of {}", slot, slots_);
  const Cluster* const cluster = clusters_[slot / kClusterSlots].get();
  return cluster ? cluster->users[slot % kClusterSlots] : 0;
}

std::uint32_t SwapSlots::size_of(std::uint64_t cluster) const {
  return std::uint32_t(std::min<std::uint64_t>(kClusterSlots, slots_ - cluster * kClusterSlots));
}

SwapSlots::Cluster& SwapSlots::cluster_at(std::uint64_t number) {
  std::unique_ptr<Cluster>& cluster = clusters_[number];
  if (cluster) return *cluster;
  cluster = std::make_unique<Cluster>();
  for (std::uint32_t i = 0; i < size_of(number); ++i) cluster->free[i / 64] |= 1ULL << (i % 64);
  return *cluster;
}

void SwapSlots::take(std::uint64_t number, Cluster& cluster, std::uint32_t i) {
  cluster.free[i / 64] &= ~(1ULL << (i % 64));
  cluster.users[i] = 1;
  whole_.erase(number);
  if (++cluster.taken == size_of(number)) with_room_.erase(number);
}

std::uint16_t& SwapSlots::users_in_use(SwapSlot slot) {
  SIM_ASSERT(users(slot) > 0, "swap slot {} is not in use", slot);
  return clusters_[slot / kClusterSlots]->users[slot % kClusterSlots];
}

// ---- LowestSet

SwapSlots::LowestSet::LowestSet(std::uint64_t size) {
  do {
    size = std::max<std::uint64_t>(1, (size + 63) / 64);
    levels_.emplace_back(size, 0);
  } while (size > 1);
}

std::uint64_t SwapSlots::LowestSet::lowest() const {
  std::uint64_t n = 0;
  for (std::size_t level = levels_.size(); level-- > 0;)
    n = n * 64 + std::uint64_t(std::countr_zero(levels_[level][n]));
  return n;
}

void SwapSlots::LowestSet::insert(std::uint64_t n) {
  for (std::vector<std::uint64_t>& words : levels_) {
    words[n / 64] |= 1ULL << (n % 64);
    n /= 64;
  }
}

void SwapSlots::LowestSet::erase(std::uint64_t n) {
  for (std::vector<std::uint64_t>& words : levels_) {
    words[n / 64] &= ~(1ULL << (n % 64));
    if (words[n / 64] != 0) return;
    n /= 64;
  }
}

}  // namespace collapsar
