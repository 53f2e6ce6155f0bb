#include "pgcarve/options.hpp"
#include "run/doctor.hpp"

namespace pgcarve::cmd {
