/** How often a property is tried: ten times as often with VMEXIT_TESTS=all in the environment. */
export const runs = (count: number): number => (process.env.VMEXIT_TESTS === 'all' ? 10 * count : count);
