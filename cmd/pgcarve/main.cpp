#include "pgcarve/app.hpp"

int main(int argc, char** argv) {
    return pgcarve::cmd::run(argc, argv);
}
