// Siblings: the files beside a log or an mbox that may be its rotated past.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ingest/input.h"

namespace bounced::ingest {

struct Sibling {
  std::string path;
  FileInfo info;
  /// Named as rotation names files (.1 .01 -20261121 .20261121-101500 .old, + .gz .zst .xz .bz2,
  /// also before the extension: mail-20261121.log); others only count by known content.
  bool rotation_name = false;
  /// Larger = older for numbers; dates are compared as text. Both empty/-1: the name tells nothing.
  long number = -1;
  std::string date;
};

/// Regular files beside `path` whose names start with its name (or its stem, with a rotation mark
/// before the extension), oldest first: by number when all rotation names carry one, by date when
/// all carry one, else by time of last change; names that tell nothing last.
std::vector<Sibling> list_siblings(const std::string& path);

/// Whether two listings give the same names to the same files; sizes and order may differ.
bool same_names(const std::vector<Sibling>& a, const std::vector<Sibling>& b);

/// Hands the siblings of `path` to `look`. A rotation that is under way moves names from file to
/// file: what was listed under a name may be opened as another file, or a file be listed twice or
/// not at all. So it is done again until the names stand still; false: they did not.
bool look_at_siblings(const std::string& path,
                      const std::function<void(const std::vector<Sibling>&)>& look);

/// Reads what a rotation added to a name; false when it is none. For list_siblings and its tests.
bool read_rotation_mark(std::string_view mark, Sibling& out);

}  // namespace bounced::ingest
