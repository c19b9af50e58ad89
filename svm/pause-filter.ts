/** APM "Pause Intercept Filtering": spin loops exit after a number of PAUSEs, those far apart not at all. */
import { SvmFeature } from './features';
import type { Svm } from './svm';
import { VMCB } from './vmcb/layout';

/** An intercepted PAUSE: does it exit? */
export function pauseExits(svm: Svm): boolean {
  const filter = svm.vmcb.low(VMCB.PAUSE_FILTER_THRESHOLD);
  const count = filter >>> 16;
  if (count === 0 || !svm.has(SvmFeature.PAUSE_FILTER)) return true;
  const threshold = filter & 0xffff;
  const now = svm.cpu.now();
  const sinceLast = now - svm.lastPause;
  svm.lastPause = now;
  // More cycles than the threshold since the last PAUSE: the count starts again, and this one goes on.
  if (threshold !== 0 && svm.has(SvmFeature.PAUSE_FILTER_THRESHOLD) && sinceLast > threshold) {
    svm.pauseCount = count;
    return false;
  }
  if (svm.pauseCount > 0) svm.pauseCount--;
  return svm.pauseCount === 0;
}
