/* Double precision through SSE2. */
#include "bench.h"

/* Iterations summed over a grid of (4 * count) x (3 * count) points, at most 64 each. */
u64 run_mandelbrot(u64 count) {
  u64 total = 0;
  for (u64 row = 0; row < 3 * count; row++) {
    for (u64 column = 0; column < 4 * count; column++) {
      double cr = -2.0 + (double)column * 3.0 / (double)(4 * count), ci = -1.0 + (double)row * 2.0 / (double)(3 * count);
      double zr = 0, zi = 0;
      for (int n = 0; n < 64 && zr * zr + zi * zi <= 4.0; n++) {
        double t = zr * zr - zi * zi + cr;
        zi = 2 * zr * zi + ci;
        zr = t;
        total++;
      }
    }
  }
  return total;
}
