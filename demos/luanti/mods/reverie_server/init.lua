local settings = minetest.settings
local random = PcgRandom(tonumber(settings:get("reverie_seed")) or 0)
local time_of_day = tonumber(settings:get("reverie_time")) or 0.5
local SPREAD, TRIES, SPRINT = tonumber(settings:get("reverie_spread")) or 8000, 400, 1.45
local BLOCKS = {
	"default:stone", "default:cobble", "default:stonebrick", "default:brick", "default:wood", "default:junglewood",
	"default:pine_wood", "default:aspen_wood", "default:tree", "default:glass", "default:goldblock", "default:dirt",
	"default:sandstone", "default:sandstonebrick", "default:desert_cobble", "default:snowblock", "default:bookshelf",
	"default:obsidian", "default:ice", "wool:red", "wool:blue", "wool:orange", "wool:violet", "wool:white",
}
local LIGHTS = {"default:meselamp", "default:torch"}
local SLOTS = 9
local hotbar = {}
for slot = 1, SLOTS - 1 do
	hotbar[slot] = BLOCKS[random:next(1, #BLOCKS)]
end
hotbar[SLOTS] = LIGHTS[random:next(1, #LIGHTS)]

-- `maxlevel` 1: with a higher one the engine shortens the times.
local times = {[1] = 0.8, [2] = 0.6, [3] = 0.4}
local caps = {}
for _, group in ipairs({"crumbly", "cracky", "choppy", "snappy", "oddly_breakable_by_hand"}) do
	caps[group] = {times = times, uses = 0, maxlevel = 1}
end
minetest.override_item("", {tool_capabilities = {full_punch_interval = 0.9, max_drop_level = 0, groupcaps = caps}})
minetest.handle_node_drops = function() end
minetest.send_join_message = function() end

-- Nothing opens a menu: it would hide the counter, and nobody would close it.
minetest.show_formspec = function() end
minetest.register_on_mods_loaded(function()
	for name, node in pairs(minetest.registered_nodes) do
		local construct = node.on_construct
		if construct then
			minetest.override_item(name, {on_construct = function(pos)
				construct(pos)
				minetest.get_meta(pos):set_string("formspec", "")
			end})
		end
	end
end)

local function place()
	for _ = 1, TRIES do
		local x, z = random:next(-SPREAD, SPREAD), random:next(-SPREAD, SPREAD)
		local y = minetest.get_spawn_level(x, z)
		if y then
			return vector.new(x, y, z)
		end
	end
	return nil
end

local function fill(player)
	local inventory = player:get_inventory()
	for slot, name in ipairs(hotbar) do
		inventory:set_stack("main", slot, ItemStack(name))
	end
end

minetest.register_on_joinplayer(function(player)
	minetest.set_timeofday(time_of_day)
	player:hud_set_hotbar_itemcount(SLOTS)
	player:hud_set_flags({minimap = false, healthbar = false, breathbar = false})
	fill(player)
	local pos = place()
	if pos then
		player:set_pos(pos)
	end
	minetest.log("action", "REVERIE ready " .. table.concat(hotbar, ","))
end)

minetest.register_globalstep(function()
	for _, player in ipairs(minetest.get_connected_players()) do
		local speed = player:get_player_control().aux1 and SPRINT or 1
		player:set_physics_override({speed = speed})
	end
end)

local function tell(what, pos, node, player)
	if player and player:is_player() then
		minetest.log("action", string.format("REVERIE %s %d %d %d %s", what, pos.x, pos.y, pos.z, node.name))
	end
end

minetest.register_on_dignode(function(pos, node, player)
	tell("dig", pos, node, player)
end)

minetest.register_on_placenode(function(pos, node, player)
	tell("place", pos, node, player)
	if not (player and player:is_player()) then
		return nil
	end
	local away = vector.subtract(pos, player:get_pos())
	if math.abs(away.x) < 0.8 and math.abs(away.z) < 0.8 and away.y > -0.5 and away.y < 2.3 then
		minetest.remove_node(pos) -- nobody is walled in by a block of his own
	end
	return true -- the stack does not shrink
end)
