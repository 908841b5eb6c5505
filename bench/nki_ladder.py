"""NKI texts of one matmul, `out = lhsT.T @ rhs`, in the structures whose speed has been published (docs/neuron-model.md).

All are written for shapes that their blocks divide; tiles are 128 (m) x 128 (k) x 512 (n).
"""

HEAD = """import nki
import nki.language as nl
import nki.isa as nisa


@nki.jit
def matmul(lhsT, rhs):
    K, M = lhsT.shape
    _, N = rhs.shape
    out = nl.ndarray((M, N), dtype=lhsT.dtype, buffer=nl.shared_hbm)
"""


def text(body):
    return HEAD + "".join("    " + line + "\n" if line else "\n" for line in body.strip("\n").split("\n")) + "    return out\n"


def naive():
    """One tile at a time, in one set of tiles: nothing is kept or overlapped."""
    return text("""
a = nl.ndarray((128, 128), dtype=lhsT.dtype, buffer=nl.sbuf)
b = nl.ndarray((128, 512), dtype=rhs.dtype, buffer=nl.sbuf)
acc = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
c = nl.ndarray((128, 512), dtype=lhsT.dtype, buffer=nl.sbuf)
for m in range(M // 128):
    for n in range(N // 512):
        for k in range(K // 128):
            nisa.dma_copy(dst=a, src=lhsT[128*k:128*k+128, 128*m:128*m+128])
            nisa.dma_copy(dst=b, src=rhs[128*k:128*k+128, 512*n:512*n+512])
            nisa.nc_matmul(dst=acc, stationary=a, moving=b, accumulate=(k > 0))
        nisa.tensor_copy(dst=c, src=acc)
        nisa.dma_copy(dst=out[128*m:128*m+128, 512*n:512*n+512], src=c)
""")


def hoisted():
    """All loads first, tile by tile; products into one PSUM tile, cleared before each group and copied after it; stores last."""
    return text("""
a = []
for k in range(K // 128):
    for m in range(M // 128):
        t = nl.ndarray((128, 128), dtype=lhsT.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=t, src=lhsT[128*k:128*k+128, 128*m:128*m+128])
        a.append(t)
b = []
for k in range(K // 128):
    for n in range(N // 512):
        t = nl.ndarray((128, 512), dtype=rhs.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=t, src=rhs[128*k:128*k+128, 512*n:512*n+512])
        b.append(t)
acc = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
c = []
for m in range(M // 128):
    for n in range(N // 512):
        nisa.memset(dst=acc, value=0.0)
        for k in range(K // 128):
            nisa.nc_matmul(dst=acc, stationary=a[k * (M // 128) + m], moving=b[k * (N // 512) + n], accumulate=(k > 0))
        t = nl.ndarray((128, 512), dtype=lhsT.dtype, buffer=nl.sbuf)
        nisa.tensor_copy(dst=t, src=acc)
        c.append(t)
for m in range(M // 128):
    for n in range(N // 512):
        nisa.dma_copy(dst=out[128*m:128*m+128, 512*n:512*n+512], src=c[m * (N // 512) + n])
""")


def partial(accumulators=1, packed=False, m=4, k=8):
    """Blocks of 4 m tiles and 8 k tiles, order n > k block > m block; partial sums are added up in SBUF. `accumulators` PSUM and copy
    tiles for each m block, used in turns; 0: a fresh pair for each output tile. `packed`: one buffer for the tiles of a block, instead of a list of tiles."""
    fresh = accumulators == 0
    return text(f"""
for n in range(N // 512):
    sums = []
    for m in range(M // 128):
        t = nl.ndarray((128, 512), dtype=lhsT.dtype, buffer=nl.sbuf)
        nisa.memset(dst=t, value=0.0)
        sums.append(t)
    for kb in range(K // {128 * k}):
        b = []
        {f"allb = nl.ndarray((128, {k}, 512), dtype=rhs.dtype, buffer=nl.sbuf)" if packed else "pass"}
        for k in range({k}):
            ko = {128 * k} * kb + 128 * k
            t = {"allb[:, k, :]" if packed else "nl.ndarray((128, 512), dtype=rhs.dtype, buffer=nl.sbuf)"}
            nisa.dma_copy(dst=t, src=rhs[ko:ko+128, 512*n:512*n+512])
            b.append(t)
        for mb in range(M // {128 * m}):
            a = []
            {f"alla = nl.ndarray((128, {k}, {128 * m}), dtype=lhsT.dtype, buffer=nl.sbuf)" if packed else "pass"}
            for k in range({k}):
                ko = {128 * k} * kb + 128 * k
                t = {"alla[:, k, :]" if packed else f"nl.ndarray((128, {128 * m}), dtype=lhsT.dtype, buffer=nl.sbuf)"}
                nisa.dma_copy(dst=t, src=lhsT[ko:ko+128, {128 * m}*mb:{128 * m}*mb+{128 * m}])
                a.append(t)
            accs = []
            copies = []
            for i in range({m if fresh else accumulators}):
                accs.append(nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum))
                copies.append(nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.sbuf))
            for m in range({m}):
                acc = accs[m % {m if fresh else accumulators}]
                copy = copies[m % {m if fresh else accumulators}]
                for k in range({k}):
                    nisa.nc_matmul(dst=acc, stationary=a[k][:, 128*m:128*m+128], moving=b[k], accumulate=(k > 0))
                nisa.tensor_copy(dst=copy, src=acc)
                total = sums[{m} * mb + m]
                nisa.tensor_tensor(dst=total, data1=total, data2=copy, op=nl.add)
    for m in range(M // 128):
        nisa.dma_copy(dst=out[128*m:128*m+128, 512*n:512*n+512], src=sums[m])
""")


def streaming(m=4, k=8):
    """As `partial`, order n > k block > m block, where rows of lhsT come in beside the products that take them, and the partial sums of each k block stay apart
    until they are added at the end (our reading)."""
    return text(f"""
for n in range(N // 512):
    parts = []
    for kb in range(K // {128 * k}):
        b = []
        for k in range({k}):
            ko = {128 * k} * kb + 128 * k
            t = nl.ndarray((128, 512), dtype=rhs.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=t, src=rhs[ko:ko+128, 512*n:512*n+512])
            b.append(t)
        for mb in range(M // {128 * m}):
            accs = []
            for m in range({m}):
                accs.append(nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum))
            for k in range({k}):
                ko = {128 * k} * kb + 128 * k
                a = nl.ndarray((128, {128 * m}), dtype=lhsT.dtype, buffer=nl.sbuf)
                nisa.dma_copy(dst=a, src=lhsT[ko:ko+128, {128 * m}*mb:{128 * m}*mb+{128 * m}])
                for m in range({m}):
                    nisa.nc_matmul(dst=accs[m], stationary=a[:, 128*m:128*m+128], moving=b[k], accumulate=(k > 0))
            for m in range({m}):
                t = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.sbuf)
                nisa.tensor_copy(dst=t, src=accs[m], engine=nisa.engine.vector if m % 2 == 0 else nisa.engine.scalar)
                parts.append(t)
    for m in range(M // 128):
        c = nl.ndarray((128, 512), dtype=lhsT.dtype, buffer=nl.sbuf)
        if K // {128 * k} > 1:
            nisa.tensor_tensor(dst=c, data1=parts[m], data2=parts[M // 128 + m], op=nl.add)
        else:
            nisa.tensor_copy(dst=c, src=parts[m])
        nisa.dma_copy(dst=out[128*m:128*m+128, 512*n:512*n+512], src=c)
""")


def blocks(order="MNK", k=4, m=4, n=2):
    """Blocks of m x n output tiles, each with a PSUM bank of its own for the whole of K. `order` is that of the block loops, K innermost
    or in one block; an operand is loaded, `k` tiles of K after each other, in the loop that it depends on (our reading of the source);
    a row of tiles is one transfer. Banks are drained by Vector and Scalar in turns."""
    first, second = [c for c in order if c != "K"]
    loops = {"M": f"for mb in range(M // {128 * m}):", "N": f"for nb in range(N // {512 * n}):"}
    loads = {"M": load("a", "lhsT", f"{128 * m}*mb", 128 * m, k), "N": load("b", "rhs", f"{512 * n}*nb", 512 * n, k)}
    return text(f"""
{loops[first]}
{indent(loads[first], 4)}
    {loops[second]}
{indent(loads[second], 8)}
        accs = []
        for i in range({m * n}):
            accs.append(nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum))
        for k in range(K // 128):
            for m in range({m}):
                for n in range({n}):
                    nisa.nc_matmul(dst=accs[{n} * m + n], stationary=a[k][:, 128*m:128*m+128], moving=b[k][:, 512*n:512*n+512],
                                   accumulate=(k > 0))
        for m in range({m}):
            c = nl.ndarray((128, {512 * n}), dtype=lhsT.dtype, buffer=nl.sbuf)
            for n in range({n}):
                nisa.tensor_copy(dst=c[:, 512*n:512*n+512], src=accs[{n} * m + n],
                                 engine=nisa.engine.vector if (m + n) % 2 == 0 else nisa.engine.scalar)
            mo = {128 * m} * mb + 128 * m
            nisa.dma_copy(dst=out[mo:mo+128, {512 * n}*nb:{512 * n}*nb+{512 * n}], src=c)
""")


def load(name, source, start, columns, k):
    return f"""
{name} = []
for kb in range(K // {128 * k}):
    for k in range({k}):
        ko = {128 * k} * kb + 128 * k
        t = nl.ndarray((128, {columns}), dtype={source}.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=t, src={source}[ko:ko+128, {start}:{start}+{columns}])
        {name}.append(t)
"""


def indent(lines, by):
    return "\n".join(" " * by + line for line in lines.strip("\n").split("\n"))


def wide():
    """f32, as much as NKIBench's matmul moves: rhs comes in once for each m tile, lhsT once for each 1024 columns."""
    return text("""
for mb in range(M // 256):
    for nb in range(N // 1024):
        a = []
        for k in range(K // 128):
            t = nl.ndarray((128, 256), dtype=lhsT.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=t, src=lhsT[128*k:128*k+128, 256*mb:256*mb+256])
            a.append(t)
        for m in range(2):
            accs = []
            for n in range(2):
                accs.append(nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum))
            for k in range(K // 128):
                b = nl.ndarray((128, 1024), dtype=rhs.dtype, buffer=nl.sbuf)
                nisa.dma_copy(dst=b, src=rhs[128*k:128*k+128, 1024*nb:1024*nb+1024])
                for n in range(2):
                    nisa.nc_matmul(dst=accs[n], stationary=a[k][:, 128*m:128*m+128], moving=b[:, 512*n:512*n+512], accumulate=(k > 0))
            for n in range(2):
                c = nl.ndarray((128, 512), dtype=lhsT.dtype, buffer=nl.sbuf)
                nisa.tensor_copy(dst=c, src=accs[n])
                mo = 256 * mb + 128 * m
                no = 1024 * nb + 512 * n
                nisa.dma_copy(dst=out[mo:mo+128, no:no+512], src=c)
""")


# Products with K = 64 for each of many matrices: written out is far more than read in.
BMM = HEAD.replace("K, M = lhsT.shape", "B, K, M = lhsT.shape").replace("_, N = rhs.shape", "_, _, N = rhs.shape").replace("(M, N)", "(B, M, N)") + """
    for i in range(B):
        b = nl.ndarray((K, N), dtype=rhs.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=b, src=rhs[i])
        for m in range(M // 128):
            a = nl.ndarray((K, 128), dtype=lhsT.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=a, src=lhsT[i, :, 128*m:128*m+128])
            c = nl.ndarray((128, N), dtype=lhsT.dtype, buffer=nl.sbuf)
            for n in range(N // 512):
                acc = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
                nisa.nc_matmul(dst=acc, stationary=a, moving=b[:, 512*n:512*n+512])
                nisa.tensor_copy(dst=c[:, 512*n:512*n+512], src=acc)
            nisa.dma_copy(dst=out[i, 128*m:128*m+128, :], src=c)
    return out
"""


def move(loads, stores):
    """Only the bytes: rows of `loads` arrays come in, of `stores` go out."""
    names = [f"x{i}" for i in range(loads)]
    outs = [f"y{i}" for i in range(stores)]
    lines = ["import nki", "import nki.language as nl", "import nki.isa as nisa", "", "", "@nki.jit", f"def move({', '.join(names)}):", "    R, C = x0.shape"]
    lines += [f"    {y} = nl.ndarray((R, C), dtype=x0.dtype, buffer=nl.shared_hbm)" for y in outs]
    lines += ["    for r in range(0, R, 128):", "        rt = min(128, R - r)"]
    for i, x in enumerate(names):
        lines += [f"        t{i} = nl.ndarray((rt, C), dtype=x0.dtype, buffer=nl.sbuf)", f"        nisa.dma_copy(dst=t{i}, src={x}[r:r+rt, :])"]
    lines += [f"        nisa.dma_copy(dst={y}[r:r+rt, :], src=t{i})" for i, y in enumerate(outs)]
    return "\n".join(lines + [f"    return {', '.join(outs)}", ""])
