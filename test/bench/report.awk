# From the runs (measure,case,size,side,value) and the aims: a CSV file of
# medians as ratios, and the same as a table.  Called with -v CSV=file, and the
# files "aims" and the runs.
#
#   ratio    the value by that of the base side, same size and case
#   to_same  the value by that of the side "same", where there is one
#   cost     the value by that of the base side at the smallest size: for plots
#   growth   the exponent of the size in the cost, from the size before to this
#            one: 1 is linear, 2 quadratic
#
# Times themselves are not shown; what is no time is, as "value".

function median(key,  i, j, t, v, m) {
    m = count[key]
    for (i = 1; i <= m; i++)
        v[i] = value[key, i]
    for (i = 2; i <= m; i++)
        for (j = i; j > 1 && v[j] < v[j - 1]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
    return m % 2 ? v[(m + 1) / 2] : (v[m / 2] + v[m / 2 + 1]) / 2
}

# The median of a side, 0 if it was not measured.  Where sides are sizes,
# "smallest" and "largest" name them.
function of(measure, what, size, side,  key) {
    if (side == "smallest") side = small[measure, what, size]
    if (side == "largest") side = large[measure, what, size]
    key = measure SUBSEP what SUBSEP size SUBSEP side
    return (key in count) ? median(key) : 0
}

function ratio(a, b) {
    return b > 0 ? sprintf("%.2f", a / b) : ""
}

# The aim that a side has, and whether it is met
function judge(measure, what, size, side,  i, f, against, met) {
    aim = verdict = ""
    for (i = 1; i <= aims; i++) {
        split(aim_line[i], f, "|")
        if (f[1] != measure || (f[2] != "*" && f[2] != what) || (f[3] != "*" && f[3] != size))
            continue
        if (f[4] != side && !(f[4] == "largest" && side == large[measure, what, size]))
            continue
        if (f[6] == "ms") {
            aim = "< " f[7] / 1000 " s"
            met = of(measure, what, size, side) < f[7]
        } else if (f[6] == "bytes") {
            aim = "<= " f[7] " bytes"
            met = of(measure, what, size, side) <= f[7] + 0
        } else if (f[6] == "faster") {
            against = (measure, what, size, f[5]) in count ? of(measure, what, size, f[5]) : of("copy", "1 account", size, f[5])
            if (!against)
                continue
            aim = "ours > " f[7] " x faster: " sprintf("%.0f", of(measure, what, size, side) / against)
            met = of(measure, what, size, side) > f[7] * against
        } else {
            against = of(measure, what, size, f[5])
            if (!against)
                continue
            against = of(measure, what, size, side) / against
            aim = f[6] " " f[7] (f[5] == base[measure] ? "" : " x " (f[5] == "smallest" ? small[measure, what, size] : f[5]))
            met = f[6] == "<=" ? against <= f[7] + 0 : against >= f[7] + 0
        }
        verdict = met ? "met" : "missed"
    }
}

function add(measure, what, size, side, v,  key) {
    key = measure SUBSEP what SUBSEP size SUBSEP side
    if (!(key in count)) {
        lines++
        group[lines] = measure SUBSEP what SUBSEP size
        if (!(group[lines] in members)) order[++groups] = group[lines]
        members[group[lines]] = members[group[lines]] " " lines
        m_of[lines] = measure; c_of[lines] = what; z_of[lines] = size; s_of[lines] = side
        if (!((measure, what) in least) || size < least[measure, what]) least[measure, what] = size
        if (size > largest_size[measure]) largest_size[measure] = size
        if (!((measure, what, size) in small) || side + 0 < small[measure, what, size] + 0) small[measure, what, size] = side
        if (!((measure, what, size) in large) || side + 0 > large[measure, what, size] + 0) large[measure, what, size] = side
    }
    value[key, ++count[key]] = v + 0
}

# What the row trigger would take for the COPY of a million, half of them marketing,
# from its two largest sizes, of which one is twice the other: a linear and a
# quadratic part in the marketing contacts, which alone copy_row copies.  A constant
# part, and the other half, make this too little rather than too much.
function extrapolate(  size, whole, quadratic, linear) {
    size = largest_size["copy_row"]
    if (!size || !of("copy_row", "1 account", size / 2, "row") || !of("copy", "1 account", 1000000, "ours"))
        return
    whole = of("copy_row", "1 account", size, "row")
    quadratic = 2 * (whole - 2 * of("copy_row", "1 account", size / 2, "row")) / size ^ 2
    linear = whole / size - quadratic * size
    add("copy_row", "by its growth", 1000000, "row", quadratic * 5e5 ^ 2 + linear * 5e5)
}

# Sizes are in ascending order within a side.
function growth(l,  k) {
    for (k = l - 1; k > 0; k--)
        if (m_of[k] == m_of[l] && c_of[k] == c_of[l] && s_of[k] == s_of[l])
            return sprintf("%.1f", log(of(m_of[l], c_of[l], z_of[l], s_of[l]) / of(m_of[k], c_of[k], z_of[k], s_of[k])) / log(z_of[l] / z_of[k]))
    return ""
}

# A line of the table, and of the CSV file
function print_line(l,  m, c, z, s, v, r, to_same, cost, g, shown, line) {
    m = m_of[l]; c = c_of[l]; z = z_of[l]; s = s_of[l]
    v = of(m, c, z, s)
    r = ratio(v, of(m, c, z, base[m]))
    to_same = base[m] == "same" ? "" : ratio(v, of(m, c, z, "same"))
    cost = ratio(v, of(m, c, least[m, c], base[m]))
    g = m ~ /^(copy|copy_row|update_status|transaction)$/ ? growth(l) : ""
    shown = m ~ /memory|buffers|bytes/ ? v : ""
    judge(m, c, z, s)
    print m "," c "," z "," s "," r "," to_same "," cost "," g "," shown "," aim "," verdict >CSV
    line = sprintf(format, m, c, z, s, r, to_same, g, shown, aim (verdict == "" ? "" : "  " verdict))
    sub(/ +\n$/, "\n", line)
    printf "%s", line
}

FILENAME ~ /aims$/ {
    if ($0 ~ /^#/ || $0 == "") next
    if (split($0, word, /  */) == 3 && word[2] == "base")
        base[word[1]] = word[3]
    else
        aim_line[++aims] = $0
    next
}

{
    split($0, field, ",")
    add(field[1], field[2], field[3] + 0, field[4], field[5])
}

END {
    extrapolate()
    print "measure,case,size,side,ratio,to_same,cost,growth,value,aim,verdict" >CSV
    format = "%-15s %-18s %8s  %-15s %6s %7s %6s %6s  %s\n"
    printf format, "measure", "case", "size", "side", "ratio", "to same", "growth", "value", "aim"
    for (g = 1; g <= groups; g++) {
        n = split(substr(members[order[g]], 2), member, " ")
        if (g > 1)
            print ""
        for (i = 1; i <= n; i++)
            print_line(member[i])
    }
}
