#include "ingest/siblings.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>
#include <thread>

namespace bounced::ingest {

namespace {

/// How often files are listed until two listings are equal, and from when with pauses.
constexpr int kListingsMax = 50, kListingsAtOnce = 3;
constexpr std::chrono::milliseconds kListingPause{2};
constexpr std::size_t kNumberDigitsMax = 5;  // more digits are a date or a time

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string_view without_compressed_suffix(std::string_view name) {
  if (!has_compressed_name(name)) return name;
  return name.substr(0, name.rfind('.'));
}

/// Whether `name` can be a rotation of `base`; fills the mark.
bool related(std::string_view name, std::string_view base, Sibling& out) {
  if (name == base) return false;
  if (name.substr(0, base.size()) == base) {
    const std::string_view rest = name.substr(base.size());
    out.rotation_name = has_compressed_name(name) && without_compressed_suffix(name) == base;
    out.rotation_name = out.rotation_name || read_rotation_mark(rest, out);
    return true;
  }
  const std::size_t dot = base.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return false;
  const std::string_view stem = base.substr(0, dot), extension = base.substr(dot);
  const std::string_view plain = without_compressed_suffix(name);
  if (plain.size() <= base.size() || plain.substr(0, dot) != stem ||
      plain.substr(plain.size() - extension.size()) != extension) {
    return false;
  }
  out.rotation_name = read_rotation_mark(plain.substr(dot, plain.size() - base.size()), out);
  return out.rotation_name;
}

bool older(const Sibling& a, const Sibling& b) {
  if (a.info.mtime_us != b.info.mtime_us) return a.info.mtime_us < b.info.mtime_us;
  if (a.number != b.number) return a.number > b.number;
  return a.path < b.path;
}

void sort_oldest_first(std::vector<Sibling>& files) {
  const auto named = std::stable_partition(files.begin(), files.end(),
                                           [](const Sibling& s) { return s.rotation_name; });
  std::sort(files.begin(), named, older);
  std::sort(named, files.end(), older);
  const auto all_named = [&](auto has) { return std::all_of(files.begin(), named, has); };
  if (all_named([](const Sibling& s) { return s.number >= 0; })) {
    std::stable_sort(files.begin(), named,
                     [](const Sibling& a, const Sibling& b) { return a.number > b.number; });
  } else if (all_named([](const Sibling& s) { return !s.date.empty(); })) {
    std::stable_sort(files.begin(), named,
                     [](const Sibling& a, const Sibling& b) { return a.date < b.date; });
  }
}

}  // namespace

bool read_rotation_mark(std::string_view mark, Sibling& out) {
  mark = without_compressed_suffix(mark);
  if (mark == ".old") return true;
  if (mark.size() < 2 || (mark[0] != '.' && mark[0] != '-' && mark[0] != '_')) return false;
  mark.remove_prefix(1);
  if (!is_digit(mark[0])) return false;
  const auto odd = [](char c) {
    return !is_digit(c) && c != '-' && c != '_' && c != '.' && c != 'T' && c != 'Z' && c != ':';
  };
  if (std::any_of(mark.begin(), mark.end(), odd)) return false;
  if (mark.size() <= kNumberDigitsMax && std::all_of(mark.begin(), mark.end(), is_digit)) {
    std::from_chars(mark.data(), mark.data() + mark.size(), out.number);
  } else {
    out.date = mark;
  }
  return true;
}

bool same_names(const std::vector<Sibling>& a, const std::vector<Sibling>& b) {
  const auto same = [](const Sibling& x, const Sibling& y) {
    return x.path == y.path && x.info.same_file(y.info);
  };
  return std::is_permutation(a.begin(), a.end(), b.begin(), b.end(), same);
}

std::vector<Sibling> list_siblings(const std::string& path) {
  std::vector<Sibling> files;
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "./" : path.substr(0, slash + 1);
  const std::string base = slash == std::string::npos ? path : path.substr(slash + 1);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(folder.c_str()), &::closedir);
  if (entries == nullptr) return files;
  while (const dirent* entry = ::readdir(entries.get())) {
    Sibling sibling;
    if (!related(entry->d_name, base, sibling)) continue;
    struct stat status {};
    if (::fstatat(::dirfd(entries.get()), entry->d_name, &status, 0) != 0) continue;
    sibling.info = info_of(status);
    if (!sibling.info.regular || sibling.info.size == 0) continue;
    sibling.path = (slash == std::string::npos ? std::string() : folder) + entry->d_name;
    files.push_back(std::move(sibling));
  }
  sort_oldest_first(files);
  return files;
}

bool look_at_siblings(const std::string& path,
                      const std::function<void(const std::vector<Sibling>&)>& look) {
  for (int tries = 0; tries < kListingsMax; ++tries) {
    const std::vector<Sibling> siblings = list_siblings(path);
    look(siblings);
    if (same_names(siblings, list_siblings(path))) return true;
    if (tries >= kListingsAtOnce) std::this_thread::sleep_for(kListingPause);
  }
  return false;
}

}  // namespace bounced::ingest
